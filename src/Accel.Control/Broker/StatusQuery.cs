using System.Text;
using Accel.Control.Native;
using Accel.Os;
using Accel.Os.Control;

namespace Accel.Control.Broker;

/// <summary>The asking end of <see cref="MessageKind.Status"/>.</summary>
public static class StatusQuery
{
    /// <summary>The daemon's state as JSON. Throws <see cref="ControlException"/> if there is no daemon.</summary>
    public static unsafe string Ask(string path)
    {
        LinuxKernel kernel = DaemonKernel.Shared;
        int fd = Conversation.Connect(kernel, path);
        if (fd < 0)
            throw new ControlException($"no acceld at {path}: {Libc.Text(-fd)}");
        int[] brought = new int[1];
        try
        {
            var conversation = new Conversation(kernel, fd);
            conversation.Send(new Message { Header = MessageHeader.Of(MessageKind.Status, 1) });
            if (!kernel.WaitReadable(fd, 5 * Protocol.AnswerMilliseconds)
                || conversation.Receive(out _, brought, out int count) <= 0 || count != 1)
                throw new ControlException($"acceld at {path} does not answer");
            byte[] text = new byte[kernel.SizeOf(brought[0])];
            fixed (byte* to = text)
                kernel.Read(brought[0], to, (ulong)text.Length, 0);
            Libc.Close(brought[0]);
            return Encoding.UTF8.GetString(text);
        }
        finally
        {
            Libc.Close(fd);
        }
    }
}
