using System.Numerics;
using System.Runtime.CompilerServices;

namespace Accel.Core.Tcp;

/// <summary>SipHash-2-4 over 64-bit words: a keyed hash that an outsider can neither predict nor collide.</summary>
public struct SipHash
{
    private ulong _v0, _v1, _v2, _v3;
    private uint _words;

    public SipHash(ulong key0, ulong key1)
    {
        _v0 = key0 ^ 0x736f6d6570736575;
        _v1 = key1 ^ 0x646f72616e646f6d;
        _v2 = key0 ^ 0x6c7967656e657261;
        _v3 = key1 ^ 0x7465646279746573;
    }

    public void Add(ulong word)
    {
        _v3 ^= word;
        Round();
        Round();
        _v0 ^= word;
        _words++;
    }

    public ulong Finish()
    {
        Add((ulong)_words * sizeof(ulong) << 56);
        _v2 ^= 0xFF;
        for (int i = 0; i < 4; i++)
            Round();
        return _v0 ^ _v1 ^ _v2 ^ _v3;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Round()
    {
        _v0 += _v1;
        _v1 = BitOperations.RotateLeft(_v1, 13) ^ _v0;
        _v0 = BitOperations.RotateLeft(_v0, 32);
        _v2 += _v3;
        _v3 = BitOperations.RotateLeft(_v3, 16) ^ _v2;
        _v0 += _v3;
        _v3 = BitOperations.RotateLeft(_v3, 21) ^ _v0;
        _v2 += _v1;
        _v1 = BitOperations.RotateLeft(_v1, 17) ^ _v2;
        _v2 = BitOperations.RotateLeft(_v2, 32);
    }
}
