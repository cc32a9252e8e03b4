using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Tcp;
using Accel.Inspect;
using Accel.Wire;

namespace Accel.StackDump.Verbs;

/// <summary>
/// The bytes that lie in each connection, as the header lines of the packets that carry them: over a network interface
/// what was sent and not acknowledged, and what came out of order; on the local path what the reader has not read.
/// </summary>
internal static unsafe class PacketsVerb
{
    public static Output Show(Machine machine, Selection selection)
    {
        var json = new JsonArray();
        var lines = new List<string>();
        // A copy may have been torn: each record is in one list, once.
        var seen = new HashSet<(NicView, uint)>();
        foreach (Listed listed in Listed.Of(machine, selection))
        {
            int before = lines.Count;
            var packets = new JsonArray();
            NicView? nic = listed.Line.Block < 0 ? null : machine.Nic(listed.Stack);
            if (nic is not null && listed.Stack.IsForeign)
                Foreign(nic.Region.BlockAt(listed.Line.Block), packets, lines);
            else if (nic is not null)
                Network(nic, nic.Region.BlockAt(listed.Line.Block), listed.Line, listed.Stack.NowNs, packets,
                    lines, seen);
            else if (listed is { Socket: { } view, Line.Route: SocketLine.Shared })
                Shared(machine, view, listed.Line, packets, lines);
            if (packets.Count == 0) continue;
            lines.Insert(before, $"{listed.Line.Local} - {listed.Line.Remote}  {listed.Line.State}  "
                + $"{SocketsVerb.Owners(listed.Socket)}  {listed.Line.Route}");
            json.Add(new JsonObject
            {
                ["local"] = listed.Line.Local,
                ["peer"] = listed.Line.Remote,
                ["path"] = listed.Line.Route,
                ["packets"] = packets,
            });
        }
        if (lines.Count == 0) lines.Add("no bytes lie in any connection");
        return new(json, lines);
    }

    /// <summary>Another user's: how much, but no sequence number of any of it.</summary>
    private static void Foreign(NicBlock* b, JsonArray json, List<string> lines)
    {
        long inFlight = b->Tcb.SndNxt - b->Tcb.SndUna;
        if (inFlight <= 0) return;
        lines.Add($"  {"sent",-22} {inFlight} bytes, not acknowledged (segments are not shown to other users)");
        json.Add(new JsonObject
        {
            ["where"] = "sent",
            ["header"] = null,
            ["seq"] = null,
            ["length"] = inFlight,
        });
    }

    private static void Network(NicView nic, NicBlock* b, SocketLine line, long nowNs, JsonArray json,
        List<string> lines, HashSet<(NicView, uint)> seen)
    {
        SegmentPool pool = nic.Region.Pool;
        uint link = b->Tcb.Recovery.Sent.Head;
        while (link is not 0 && link <= NicRegion.MaxRecords && seen.Add((nic, link)))
        {
            ref SegmentRecord r = ref pool[link];
            double ago = Math.Round((nowNs - r.SentNs) / 1e6, 1);
            string fate = (r.Flags & ~SegmentFlags.Timed).ToString();
            Add("sent", $"{Header(line.Local, line.Remote, r.Seq, r.End, b->Tcb.RcvNxt)}  "
                + string.Create(CultureInfo.InvariantCulture, $"[{fate}] sent {ago} ms ago, {r.Resends} times again"),
                r.Seq, r.Length, json, lines);
            link = r.Next;
        }
        link = b->Tcb.Reassembly.First;
        while (link is not 0 && link <= NicRegion.MaxRecords && seen.Add((nic, link)))
        {
            ref SegmentRecord r = ref pool[link];
            Add("out of order", Header(line.Remote, line.Local, r.Seq, r.End, b->Tcb.SndUna), r.Seq, r.Length, json,
                lines);
            link = r.Next;
        }
    }

    /// <summary>Numbers count from the beginning of the stream, as tcpdump's relative ones do.</summary>
    private static void Shared(Machine machine, SocketView view, SocketLine line, JsonArray json, List<string> lines)
    {
        Socket* s = view.Stack.Region.SocketAt(view.Index);
        if (s->State != (uint)SocketState.Connected || s->Index >= LocalRegion.MaxConns
            || view.Stack.RegionOf(machine, *s) is not { } region)
            return;
        Conn* conn = region.Region.ConnAt((int)s->Index);
        int side = (int)s->Side & 1;
        Pipe* sending = LocalRegion.PipeOf(conn, side), receiving = LocalRegion.PipeOf(conn, 1 - side);
        Unread("to be read by the peer", sending, receiving->Head, line.Local, line.Remote, json, lines);
        Unread("to be read", receiving, sending->Head, line.Remote, line.Local, json, lines);
    }

    private static void Unread(string what, Pipe* pipe, ulong read, string from, string to, JsonArray json,
        List<string> lines)
    {
        ulong bytes = pipe->Tail - pipe->Head;
        if (bytes is 0 or > PipeOps.MaxInFlight) return;
        SeqNum first = new((uint)pipe->Head + 1);
        Add(what, $"{Header(from, to, first, first + (uint)bytes, new SeqNum((uint)read + 1))}  in a ring of "
            + $"{1L << (int)(pipe->ReadLog2 & 31)} bytes", first, bytes, json, lines);
    }

    private static string Header(string from, string to, SeqNum seq, SeqNum end, SeqNum ack) =>
        $"IP{(from.StartsWith('[') ? "6" : "")} {from} > {to}: Flags [{PacketText.Flags(TcpFlags.Ack)}], "
        + $"seq {seq.Value}:{end.Value}, ack {ack.Value}, length {end - seq}";

    private static void Add(string where, string text, SeqNum seq, ulong length, JsonArray json, List<string> lines)
    {
        lines.Add($"  {where,-22} {text}");
        json.Add(new JsonObject
        {
            ["where"] = where,
            ["header"] = text,
            ["seq"] = seq.Value,
            ["length"] = length,
        });
    }
}
