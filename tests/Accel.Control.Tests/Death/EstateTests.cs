using System.Text;
using Accel.Control.Native;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;

namespace Accel.Control.Tests.Death;

/// <summary>What acceld maps of a stack's process: memory that stays as long as it is, and says what it is.</summary>
public sealed unsafe class EstateTests
{
    [Fact]
    public void Both_regions_are_found()
    {
        using var stack = new DeadStack();
        using var estate = stack.Find();
        Assert.NotNull(estate);
        Assert.True(estate.Local.IsMapped);
        Assert.Equal(stack.Id, estate.Nic.Tables->Header.StackId);
        Assert.Equal(stack.Id, estate.Local.Tables->Header.StackId);
    }

    [Fact]
    public void What_can_be_cut_short_is_not_taken()
    {
        using var stack = new DeadStack(isSealed: false);
        Assert.Null(stack.Find());
    }

    public static TheoryData<string> Lies =>
        ["larger", "smaller", "kind", "stack", "layout", "magic", "version"];

    [Theory]
    [MemberData(nameof(Lies))]
    public void A_header_that_does_not_fit_is_not_believed(string which)
    {
        using var stack = new DeadStack();
        foreach (var header in (nint[])[(nint)(&stack.Nic.Tables->Header), (nint)(&stack.Local.Tables->Header)])
        {
            var at = (RegionHeader*)header;
            switch (which)
            {
                case "larger": at->SizeBytes += 4096; break;
                case "smaller": at->SizeBytes -= 4096; break;
                case "kind": at->Kind = RegionKind.Stack; break;
                case "stack": at->StackId++; break;
                case "layout": at->LayoutHash++; break;
                case "magic": at->Magic++; break;
                default: at->Version++; break;
            }
        }
        Assert.Null(stack.Find());
    }

    /// <summary>A file that grows later is what it was; one that was too short, or longer than any, is none.</summary>
    [Fact]
    public void A_region_of_another_size_is_none()
    {
        foreach (var bytes in (long[])[0, 100, 4096, LocalRegion.FixedBytes - 4096, 1L << 46])
        {
            using var stack = new DeadStack(hasLocal: false);
            var file = stack.Create("accel-local", bytes);
            if (bytes >= 4096)
            {
                // Its header alone is whole.
                var header = (RegionHeader*)stack.Map(file, 4096);
                *header = stack.Nic.Tables->Header;
                (header->Kind, header->SizeBytes) = (RegionKind.Local, (ulong)bytes);
            }
            using var estate = stack.Find();
            Assert.NotNull(estate);
            Assert.False(estate.Local.IsMapped);
        }
        using var grown = new DeadStack();
        using var found = grown.Find();
        Assert.Equal(0, Libc.Truncate(grown.LocalFile, grown.LocalBytes * 2));
        grown.Local.Tables->Header.SizeBytes *= 2;
        grown.Local.Tables->Buffers.EndByte *= 2;
        found!.Fence();
        Assert.Equal((ulong)grown.LocalBytes, found.Local.Tables->Buffers.EndByte);
    }

    /// <summary>Memory that the system has none of: whoever reads it is killed.</summary>
    [Fact]
    public void Huge_pages_that_there_may_be_none_of_are_not_read()
    {
        using var stack = new DeadStack(hasLocal: false);
        var bytes = LocalRegion.FixedBytes + (64L << 20) & ~((2L << 20) - 1);
        stack.Create("accel-local", bytes, flags: DeadStack.MayBeSealed | DeadStack.Huge);
        using var estate = stack.Find();
        Assert.NotNull(estate);
        Assert.False(estate.Local.IsMapped);
    }

    /// <summary>
    /// A file of a user's own file system may have the name of a region in /proc, and who opens it waits for that user:
    /// here nobody ever writes to a pipe.
    /// </summary>
    [Fact]
    public void A_file_with_a_regions_name_is_not_opened()
    {
        const string name = "/memfd:accel-nic";
        if (Environment.UserName != "root")
            Assert.Skip("needs root: makes a file in /");
        Assert.Equal(0, NetworkPair.Run("mkfifo", out _, name));
        const int nonBlock = 0x800;
        int pipe;
        fixed (byte* text = Encoding.ASCII.GetBytes(name + "\0"))
            pipe = Libc.Open(text, nonBlock, 0);
        File.Delete(name);
        Assert.True(pipe >= 0);
        try
        {
            using var stack = new DeadStack();
            bool isFound = false;
            var finding = new Thread(() =>
            {
                using var estate = stack.Find();
                isFound = estate != null;
            }) { IsBackground = true };
            finding.Start();
            Assert.True(finding.Join(5000), "acceld waits for a user");
            Assert.True(isFound);
        }
        finally
        {
            Libc.Close(pipe);
        }
    }
}
