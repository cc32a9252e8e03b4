using System.Globalization;

namespace Accel.Control.Policy;

/// <summary>Finds users and groups by name.</summary>
public interface IAccountNames
{
    /// <summary>Null if there is none of this name.</summary>
    uint? Uid(string name);

    uint? Gid(string name);
}

/// <summary>
/// The accounts of /etc/passwd and /etc/group. Those that only a directory service knows need numbers.
/// </summary>
public sealed class AccountFiles : IAccountNames
{
    public uint? Uid(string name) => Find("/etc/passwd", name);

    public uint? Gid(string name) => Find("/etc/group", name);

    // Both files: name, password, number.
    private static uint? Find(string path, string name)
    {
        foreach (string line in File.ReadLines(path))
        {
            string[] fields = line.Split(':');
            if (fields.Length > 2 && fields[0] == name
                && uint.TryParse(fields[2], NumberStyles.None, CultureInfo.InvariantCulture, out uint id))
                return id;
        }
        return null;
    }
}
