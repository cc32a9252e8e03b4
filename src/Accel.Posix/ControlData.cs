namespace Accel.Posix;

/// <summary>
/// Control data. Of sendmsg(): a TCP socket ignores what is not for its level, and refuses what it does not know. Of
/// recvmsg(): how much is left, if TCP_INQ asked for it.
/// </summary>
public static unsafe class ControlData
{
    private const int HeaderBytes = 16, Rights = 1, Credentials = 2;
    private const int Mark = 36, Timestamping = 37, TransmitTime = 61, TimestampingNew = 65, Priority = 12, Devmem = 80;

    /// <summary>False if Linux would answer EINVAL (sock_cmsg_send).</summary>
    public static bool IsAcceptable(MsgHdr* message)
    {
        byte* at = (byte*)message->Control;
        byte* end = at + message->ControlLength;
        if ((ulong)at < 4096)
            return true;
        while (end - at >= HeaderBytes)
        {
            ulong length = *(ulong*)at;
            if (length < HeaderBytes || length > (ulong)(end - at))
                return false;
            int level = *(int*)(at + 8), type = *(int*)(at + 12);
            if (level == So.SOL_SOCKET
                && type is not (Rights or Credentials or Mark or Timestamping or TimestampingNew or TransmitTime
                    or Priority or Devmem))
                return false;
            at += (length + 7) & ~7ul;
        }
        return true;
    }

    /// <summary>TCP_CM_INQ into room for so many bytes.</summary>
    public static void GiveUnread(MsgHdr* message, ulong room, int unread) =>
        Give(message, room, So.IPPROTO_TCP, So.TCP_INQ, new ReadOnlySpan<byte>(&unread, sizeof(int)));

    /// <summary>One piece of control data into room for so many bytes, cut to it as by put_cmsg() of Linux.</summary>
    public static void Give(MsgHdr* message, ulong room, int level, int type, ReadOnlySpan<byte> data)
    {
        ulong bytes = HeaderBytes + (ulong)data.Length;
        byte* at = (byte*)message->Control;
        if (room < HeaderBytes || (ulong)at < 4096)
        {
            message->Flags |= Msg.CTRUNC;
            return;
        }
        if (room < bytes)
            message->Flags |= Msg.CTRUNC;
        ulong length = Math.Min(room, bytes);
        *(ulong*)at = length;
        *(int*)(at + 8) = level;
        *(int*)(at + 12) = type;
        data[..(int)(length - HeaderBytes)].CopyTo(new Span<byte>(at + HeaderBytes, (int)(length - HeaderBytes)));
        message->ControlLength = Math.Min((bytes + 7) & ~7ul, room);
    }
}
