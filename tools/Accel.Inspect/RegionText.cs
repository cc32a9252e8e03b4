using System.Text;

namespace Accel.Inspect;

/// <summary>Text out of a region: what would move the cursor of whoever reads it becomes a question mark.</summary>
internal static unsafe class RegionText
{
    public static string Of(byte* bytes, int max)
    {
        int length = new ReadOnlySpan<byte>(bytes, max).IndexOf((byte)0);
        return Clean(Encoding.UTF8.GetString(bytes, length < 0 ? max : length));
    }

    /// <summary>The same of text from elsewhere: a process may call itself anything.</summary>
    public static string Clean(string text)
    {
        return text.Any(char.IsControl) ? string.Concat(text.Select(c => char.IsControl(c) ? '?' : c)) : text;
    }
}
