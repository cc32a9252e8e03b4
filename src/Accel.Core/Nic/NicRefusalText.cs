using Accel.Core.Memory;

namespace Accel.Core.Nic;

/// <summary>One sentence for each <see cref="NicRefusal"/>, in its order.</summary>
[ColdPath]
public static class NicRefusalText
{
    public static readonly string[] Rows =
    [
        "nothing was refused",
        "no acceld answers in this network namespace",
        "acceld's policy does not allow it to this user",
        "another user's stack has the interface's queues",
        "acceld has no place left for another stack",
        "another stack holds the port",
        "acceld is of another build than the library",
        "the kernel's socket that would prove the port was not shown",
        "acceld serves no interface that fits",
        "the conversation with acceld failed",
        "the connection is another stack's",
        "the kernel refused what acceld asked of it",
        "acceld has too much to do just now",
    ];
}
