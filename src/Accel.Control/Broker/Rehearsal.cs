using Accel.Control.Native;
using Accel.Control.Steering;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Os.Control;

namespace Accel.Control.Broker;

/// <summary>
/// A port is given and taken back before acceld says that it serves. From when a program's listener listens in the
/// kernel until its port is steered, clients are the kernel's: that is not to take the ten milliseconds in which the
/// runtime compiles what acceld does for the first time.
/// </summary>
internal static unsafe class Rehearsal
{
    /// <summary>Who asks: root, in a slot that no stack has yet.</summary>
    public static readonly Stack Nobody = new(0, SteeringLimits.MaxSlots - 1, new Peer(0, 0, 0, []));

    /// <summary>
    /// The port that is asked for, which the kernel chooses: of the loopback address, for which no frame comes over an
    /// interface. False: there is none.
    /// </summary>
    public static bool TryListen(out int descriptor, out SteerMessage wanted)
    {
        wanted = default;
        // struct sockaddr_in
        byte* address = stackalloc byte[16];
        new Span<byte>(address, 16).Clear();
        *(ushort*)address = Libc.AfInet;
        *(uint*)(address + 4) = (uint)Endpoint.Loopback(Endpoint.V4, 0).AddressLow;
        descriptor = Libc.Socket(Libc.AfInet, Libc.SockStream | Libc.SockCloexec, 0);
        if (Libc.Bind(descriptor, address, 16) == 0 && Libc.Listen(descriptor, 0) == 0
            && PortProof.TryGetName(descriptor, out Endpoint local))
        {
            wanted = new()
            {
                Transport = Transport.Tcp,
                IsListener = 1,
                Local = local,
                Answer = new SynAnswer { Offers = SynAnswer.Valid },
                NowNs = DaemonKernel.Shared.NowNs(),
            };
            return true;
        }
        if (descriptor >= 0)
            Libc.Close(descriptor);
        return false;
    }
}
