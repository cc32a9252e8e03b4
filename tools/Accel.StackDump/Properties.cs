using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Accel.StackDump.Tests")]
