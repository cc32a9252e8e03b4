using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Testing.Death;

/// <summary>
/// The network region and the local region of a stack, with connections as an engine leaves them when its process is
/// killed. A test changes what it likes.
/// </summary>
public sealed unsafe class DeadRegions(NicRegion nic, LocalRegion local)
{
    public const uint Window = 60_000;

    /// <summary>The engine is side 1, as with a connection that its program opened.</summary>
    private const int EngineSide = 1;

    public NicRegion Nic => nic;

    public LocalRegion Local => local;

    public static Endpoint V4(byte a, byte b, byte c, byte d, int port) => new()
    {
        Family = Endpoint.V4, Port = (ushort)port, AddressLow = a | (ulong)b << 8 | (ulong)c << 16 | (ulong)d << 24,
    };

    /// <summary>fd77::last</summary>
    public static Endpoint V6(byte last, int port) => new()
    {
        Family = Endpoint.V6, Port = (ushort)port, AddressLow = 0x77FD, AddressHigh = (ulong)last << 56,
    };

    public NicBlock* BlockAt(int index) => nic.BlockAt(index);

    public Conn* ConnOf(int index) => local.ConnAt((int)BlockAt(index)->Conn - 1);

    /// <summary>What the program wrote.</summary>
    public Pipe* OutOf(int index) => LocalRegion.PipeOf(ConnOf(index), 1 - EngineSide);

    /// <summary>What came for it.</summary>
    public Pipe* InOf(int index) => LocalRegion.PipeOf(ConnOf(index), EngineSide);

    /// <summary>An established connection. Returns its block's index.</summary>
    /// <param name="here">Its own name.</param>
    /// <param name="there">Its peer's.</param>
    /// <param name="written">What its peer has not acknowledged.</param>
    /// <param name="sent">How much of that was sent.</param>
    /// <param name="passed">Bytes that went both ways and are done with.</param>
    /// <param name="iss">Our initial sequence number; the peer's lies half the space away.</param>
    public int Add(in Endpoint here, in Endpoint there, ReadOnlySpan<byte> written, int sent = 0, ulong passed = 0,
        uint iss = 1000)
    {
        int index = FreeList.Take(&nic.Tables->Blocks, (byte*)nic.BlockAt(0), sizeof(NicBlock));
        int conn = local.TakeConn(1, 0);
        if (index < 0 || conn < 0)
            throw new InvalidOperationException("the regions are full");
        Conn* streams = local.ConnAt(conn);
        (streams->State, streams->Side1.Watch) = ((uint)ConnState.Accepted, Side.EngineWatch);
        NicBlock* block = nic.BlockAt(index);
        (block->Use, block->Flags) = (NicUse.Live, NicBlockFlags.HasMac);
        (block->Route.Local, block->Route.Remote) = (here, there);
        (block->Conn, block->ConnGeneration, block->Side) = ((uint)conn + 1, streams->Generation, EngineSide);
        nic.ConnBlocks[conn] = (uint)index + 1;
        foreach (nint each in (nint[])[(nint)OutOf(index), (nint)InOf(index)])
        {
            var pipe = (Pipe*)each;
            pipe->SendLimit = pipe->ReceiveLimit = 1 << 20;
            pipe->Tail = pipe->Head = pipe->CachedHead = pipe->CachedTail = passed;
        }
        Write(OutOf(index), written);
        uint irs = iss + 0x8000_0000;
        ref Tcb tcb = ref block->Tcb;
        tcb.State = TcpState.Established;
        tcb.Flags = TcbFlags.Timestamps | TcbFlags.Sack | TcbFlags.WindowScaling;
        (tcb.Iss, tcb.Irs) = (new SeqNum(iss), new SeqNum(irs));
        tcb.SndUna = tcb.Iss + 1 + (uint)passed;
        tcb.SndNxt = tcb.SndUna + (uint)sent;
        tcb.RcvNxt = tcb.RcvWup = tcb.SndWl1 = tcb.Irs + 1 + (uint)passed;
        tcb.SndWnd = tcb.MaxWindow = tcb.RcvWnd = Window;
        tcb.PeerMss = 1460;
        (tcb.SndWscale, tcb.RcvWscale) = (7, 7);
        return index;
    }

    /// <summary>As a program writes: into a larger ring when one is full.</summary>
    private void Write(Pipe* pipe, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            byte* to = PipeOps.WriteRun(local, pipe, 0, (ulong)bytes.Length, out ulong run);
            if (run == 0 && !PipeOps.Grow(local, pipe, stalled: true))
                throw new InvalidOperationException("the ring is full");
            bytes[..(int)run].CopyTo(new Span<byte>(to, (int)run));
            PipeOps.Publish(pipe, run);
            bytes = bytes[(int)run..];
        }
    }

    /// <summary>
    /// Changes some bytes and words of what belongs to a connection, and sometimes of the tables. A word becomes one of
    /// those that are special to somebody, or any, or another by a bit.
    /// </summary>
    public void Spoil(Prng random, int index)
    {
        (nint At, int Bytes)[] parts =
        [
            ((nint)nic.BlockAt(index), sizeof(NicBlock)), ((nint)ConnOf(index), sizeof(Conn)),
            ((nint)InOf(index), sizeof(Pipe)), ((nint)OutOf(index), sizeof(Pipe)), ((nint)OutOf(index), sizeof(Pipe)),
            ((nint)(&nic.BlockAt(index)->Tcb), 128), ((nint)(&nic.BlockAt(index)->Route), sizeof(NicRoute)),
            ((nint)nic.Tables, 512), ((nint)(&local.Tables->Buffers), sizeof(BufferArena)),
            ((nint)nic.ConnBlocks, 64), ((nint)nic.LinkAt(0), sizeof(LinkInfo)),
        ];
        for (int n = 1 + random.Below(4); n > 0; n--)
        {
            (nint at, int bytes) = parts[random.Below(parts.Length)];
            int width = random.Pick(1, 4, 4, 8);
            byte* word = (byte*)at + random.Below(bytes / width) * width;
            ulong before = width switch { 1 => *word, 4 => *(uint*)word, _ => *(ulong*)word };
            ulong after = random.Below(4) switch
            {
                0 => random.Pick<ulong>(0, 1, 14, 18, 22, 4096, PipeOps.MaxInFlight, int.MaxValue, uint.MaxValue,
                    1ul << 40, long.MaxValue, ulong.MaxValue),
                1 => random.Next(),
                2 => before + random.Pick<ulong>(1, ulong.MaxValue, 4096, 1 << 14, 1 << 22, 1ul << 32),
                _ => before ^ 1ul << random.Below(8 * width),
            };
            switch (width)
            {
                case 1: *word = (byte)after; break;
                case 4: *(uint*)word = (uint)after; break;
                default: *(ulong*)word = after; break;
            }
        }
    }
}
