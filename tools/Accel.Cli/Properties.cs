using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Accel.Cli.Tests")]
