namespace Accel.Os;

/// <summary>The errno values that this room looks at.</summary>
internal static class Errno
{
    public const int ESRCH = 3, EINTR = 4, EAGAIN = 11, EINVAL = 22, ENAMETOOLONG = 36;
}
