using Accel.Control.Native;
using Accel.Core.Nic;
using Accel.Os;
using Accel.Os.Control;
using Microsoft.Win32.SafeHandles;

namespace Accel.Control.Broker;

/// <summary>acceld's answer to somebody who wants to look at stacks: a file, or why there is none.</summary>
public sealed record LookReply(SafeFileHandle? File, string? Why, bool IsAbsent = false) : IDisposable
{
    public void Dispose() => File?.Dispose();
}

/// <summary>The asking end of <see cref="MessageKind.Look"/>.</summary>
public static class LookQuery
{
    private const int Attempts = 2;

    public static LookReply Ask(string path)
    {
        for (int attempt = 1; ; attempt++)
        {
            if (TryAsk(path, isRepeated: attempt > 1) is { } reply) return reply;
            if (attempt == Attempts) return new(null, "this acceld is of an older build, which gives no looks");
        }
    }

    /// <summary>Null if acceld hung up without a word.</summary>
    private static LookReply? TryAsk(string path, bool isRepeated)
    {
        LinuxKernel kernel = DaemonKernel.Shared;
        int fd = Conversation.Connect(kernel, path);
        if (fd is -Libc.ENOENT or -Libc.ECONNREFUSED)
            return isRepeated ? new(null, "acceld ended during the look") : new(null, $"no acceld at {path}", true);
        if (fd < 0) return new(null, $"acceld at {path}: {Libc.Text(-fd)}");
        int[] brought = new int[1];
        try
        {
            var conversation = new Conversation(kernel, fd);
            int sent = conversation.Send(new Message { Header = MessageHeader.Of(MessageKind.Look, 1) });
            if (sent < 0) return null;
            if (!kernel.WaitReadable(fd, LookDesk.AnswerMilliseconds))
                return new(null, $"acceld at {path} does not answer");
            int got = conversation.Receive(out Message answer, brought, out int count);
            if (got <= 0) return null;
            var file = count == 1 ? new SafeFileHandle(brought[0], ownsHandle: true) : null;
            NicRefusal refusal = answer.Header.Refusal;
            if (file is not null && refusal == NicRefusal.None && answer.Header.Kind == MessageKind.Answer)
                return new(file, null);
            file?.Dispose();
            return new(null, refusal switch
            {
                NicRefusal.None => "acceld sent something else than a look",
                NicRefusal.Version => "this acceld is of another build than this tool",
                _ when (int)refusal < NicRefusalText.Rows.Length => NicRefusalText.Rows[(int)refusal],
                _ => $"acceld refuses (reason {(int)refusal})",
            });
        }
        finally
        {
            Libc.Close(fd);
        }
    }
}
