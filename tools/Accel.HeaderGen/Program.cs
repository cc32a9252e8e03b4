using Accel.HeaderGen;

if (args.Length != 1)
{
    Console.Error.WriteLine("usage: Accel.HeaderGen ASSEMBLY > HEADER");
    return 2;
}
Console.Out.Write(ExportHeader.Write(args[0]));
return 0;
