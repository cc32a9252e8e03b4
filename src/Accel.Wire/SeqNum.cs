namespace Accel.Wire;

/// <summary>
/// A TCP sequence number (RFC 9293 3.4): arithmetic modulo 2^32, and "before" that is meant for numbers less than half
/// the space apart. It is no ordering: there is no sort and no maximum of many.
/// </summary>
public readonly struct SeqNum(uint value) : IEquatable<SeqNum>
{
    public uint Value { get; } = value;

    public static SeqNum operator +(SeqNum a, uint n) => new(unchecked(a.Value + n));

    public static SeqNum operator -(SeqNum a, uint n) => new(unchecked(a.Value - n));

    /// <summary>The signed distance from b to a.</summary>
    public static int operator -(SeqNum a, SeqNum b) => unchecked((int)(a.Value - b.Value));

    public static bool operator <(SeqNum a, SeqNum b) => a - b < 0;

    public static bool operator >(SeqNum a, SeqNum b) => a - b > 0;

    public static bool operator <=(SeqNum a, SeqNum b) => a - b <= 0;

    public static bool operator >=(SeqNum a, SeqNum b) => a - b >= 0;

    public static bool operator ==(SeqNum a, SeqNum b) => a.Value == b.Value;

    public static bool operator !=(SeqNum a, SeqNum b) => a.Value != b.Value;

    /// <summary>True if it lies in [first, first + size).</summary>
    public bool InWindow(SeqNum first, uint size) => unchecked(Value - first.Value) < size;

    /// <summary>The later of two.</summary>
    public static SeqNum Later(SeqNum a, SeqNum b) => a > b ? a : b;

    /// <summary>The earlier of two.</summary>
    public static SeqNum Earlier(SeqNum a, SeqNum b) => a < b ? a : b;

    public bool Equals(SeqNum other) => Value == other.Value;

    public override bool Equals(object? obj) => obj is SeqNum other && Equals(other);

    public override int GetHashCode() => (int)Value;
}
