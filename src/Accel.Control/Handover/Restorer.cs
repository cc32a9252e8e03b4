using System.Runtime.InteropServices;
using Accel.Control.Broker;
using Accel.Control.Native;
using Accel.Control.Steering;
using Accel.Core.Nic;
using Accel.Os.Control;
using Accel.Os.Handover;

namespace Accel.Control.Handover;

/// <summary>
/// Gives a stack's live connection to the kernel: for programs that may not repair connections themselves, and since
/// only acceld can say where their frames go from then on. A stack gets what is on a port of its own, and nothing else:
/// the name is checked here, and the socket is made here, so that nobody holds one that is under repair.
/// </summary>
internal sealed unsafe class Restorer(BrokerOptions options, PortTable ports)
{
    /// <summary>Bytes of one connection's queues; a stack's rings hold less.</summary>
    private const ulong MostBytes = 128ul << 20;

    public void Answer(Client client, Stack stack, in RestoreMessage wanted, int file)
    {
        // An answer that has to wait would keep the descriptor here, and with it the connection.
        string? why = client.HasOutput ? "does not read what it is sent" : null;
        int socket = -1;
        NicRefusal refusal = why != null ? NicRefusal.Failed
            : TryMake(stack, in wanted, file, client.Peer, out socket, out why);
        if (why != null)
            options.Log($"process {client.Peer.Pid}: the connection on port {wanted.Local.Port} stays with it: {why}");
        Message answer = new() { Header = MessageHeader.Of(MessageKind.Answer, wanted.Header.Serial, refusal) };
        if (socket < 0)
        {
            client.Send(answer);
            return;
        }
        client.Send(answer, socket);
        if (client.HasOutput)
            client.Fault = "";
        Libc.Close(socket);
    }

    private NicRefusal TryMake(
        Stack stack, in RestoreMessage wanted, int file, Peer peer, out int socket, out string? why)
    {
        socket = -1;
        why = "its names are of two families";
        if (wanted.Local.Unmapped().Family != wanted.Remote.Unmapped().Family || wanted.Local.Port == 0)
            return NicRefusal.NotYourConnection;
        why = "it is too large";
        ulong bytes = wanted.Image.QueueBytes;
        if (bytes > MostBytes)
            return NicRefusal.NotYourConnection;
        byte* queues = (byte*)NativeMemory.Alloc((nuint)bytes + 1);
        try
        {
            why = "its bytes did not come along";
            if (!IsMemory(file) || !TryRead(file, queues, bytes))
                return NicRefusal.Failed;
            // First of all: as soon as the kernel knows the connection its frames go there.
            why = "the port is not this stack's";
            if (!ports.Mix(Transport.Tcp, wanted.Local, stack.Slot))
                return NicRefusal.NotYourConnection;
            int made = TcpRestore.Make(DaemonKernel.Shared, in wanted.Local, in wanted.Remote, in wanted.Image, queues,
                out string step);
            why = made < 0 ? $"{step}: {Libc.Text(-made)}" : null;
            if (made < 0)
                return NicRefusal.KernelRefused;
            DaemonKernel.Shared.ChangeOwner(made, peer.Uid, uint.MaxValue);
            socket = made;
            return NicRefusal.None;
        }
        finally
        {
            NativeMemory.Free(queues);
        }
    }

    /// <summary>Reading from any other file could take as long as its owner likes: only memory has seals.</summary>
    private static bool IsMemory(int file)
    {
        const int getSeals = 1034;
        return file >= 0 && Libc.Fcntl(file, getSeals, 0) >= 0;
    }

    private static bool TryRead(int file, byte* to, ulong bytes)
    {
        for (ulong done = 0; done < bytes;)
        {
            long got = DaemonKernel.Shared.Read(file, to + done, bytes - done, (long)done);
            if (got <= 0)
                return false;
            done += (ulong)got;
        }
        return true;
    }
}
