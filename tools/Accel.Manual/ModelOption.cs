using System.CommandLine;
using System.CommandLine.Invocation;

namespace Accel.Manual;

/// <summary>`TOOL --model`, which no help shows: the tool's commands as JSON, for the manual.</summary>
public sealed class ModelOption : Option<bool>
{
    public ModelOption() : base("--model")
    {
        Hidden = true;
        Action = new Print();
    }

    private sealed class Print : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            Console.WriteLine(CommandModel.Of(parseResult.RootCommandResult.Command).ToJson());
            return 0;
        }
    }
}
