using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Core.Stack;
using Accel.Os;
using Accel.Os.Control;
using Accel.Posix;

namespace Accel.Shim;

/// <summary>
/// What the C side calls: widen, call, return. A result is at least 0, minus an errno, ACCEL_WAIT or ACCEL_PASS.
/// </summary>
public static unsafe class Exports
{
    private static PosixStack? s_stack;

    private static PosixStack S => s_stack!;

    [ColdPath]
    [UnmanagedCallersOnly(EntryPoint = "accel_start")]
    [return: DNNE.C99Type("long")]
    public static nint Start(
        [DNNE.C99Type("struct accel_process *")] AccelProcess* process,
        [DNNE.C99Type("const char *const *")] byte** environment)
    {
        try
        {
            LinuxKernel kernel = new((nint)process->SystemCall, (nint)process->Ticks, (nint)process->Cpu,
                isNative: true);
            if (process->Inherited > 0 && Startup.OpenStack(kernel, process->Inherited) is { } inherited
                && Exec.TryEnter(inherited, kernel, process))
            {
                Open(inherited, kernel, process).IsSuccessor = true;
                return 0;
            }
            process->Inherited = 0;
            if (Startup.CreateStack(kernel, environment, out int fd) is not { } region)
                return -Errno.ENOMEM;
            PosixStack stack = Open(region, kernel, process);
            Processes.EnterFirst(region, kernel, process);
            stack.Own(fd, DescriptorEntry.StackTag);
            stack.Own(kernel.OpenSender());
            return 0;
        }
        catch (OutOfMemoryException)
        {
            return -Errno.ENOMEM;
        }
    }

    [ColdPath]
    private static PosixStack Open(StackRegion region, LinuxKernel kernel, AccelProcess* process)
    {
        PosixStack stack = new(region, kernel, process, kernel.HasBarrier);
        stack.NicControl = new AcceldClient(kernel, (descriptor, tag) => stack.Own(descriptor, tag), stack.Disown);
        s_stack = stack;
        return stack;
    }

    [UnmanagedCallersOnly(EntryPoint = "accel_socket")]
    [return: DNNE.C99Type("long")]
    public static nint Socket(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        int domain,
        int type,
        int protocol) =>
        (nint)(protocol == UdpProtocol ? UdpSockets.Register(S, t, fd, domain, type)
            : Sockets.Register(S, t, fd, domain, type));

    private const int UdpProtocol = 17;

    [UnmanagedCallersOnly(EntryPoint = "accel_bind")]
    [return: DNNE.C99Type("long")]
    public static nint Bind(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        [DNNE.C99Type("const void *")] void* addr,
        [DNNE.C99Type("uint32_t")] uint len) =>
        (nint)(Acceptor.Bind(S, t, fd, (byte*)addr, len));

    [UnmanagedCallersOnly(EntryPoint = "accel_listen")]
    [return: DNNE.C99Type("long")]
    public static nint Listen(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        int backlog) =>
        (nint)(Acceptor.Listen(S, t, fd, backlog));

    [UnmanagedCallersOnly(EntryPoint = "accel_connect")]
    [return: DNNE.C99Type("long")]
    public static nint Connect(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        [DNNE.C99Type("const void *")] void* addr,
        [DNNE.C99Type("uint32_t")] uint len) =>
        (nint)(Connector.Connect(S, t, fd, (byte*)addr, len));

    [UnmanagedCallersOnly(EntryPoint = "accel_accept")]
    [return: DNNE.C99Type("long")]
    public static nint Accept(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        [DNNE.C99Type("void *")] void* addr,
        [DNNE.C99Type("uint32_t *")] uint* len,
        int flags) =>
        (nint)(Acceptor.Accept(S, t, fd, (byte*)addr, len, flags));

    [UnmanagedCallersOnly(EntryPoint = "accel_shutdown")]
    [return: DNNE.C99Type("long")]
    public static nint Shutdown(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        int how) =>
        (nint)(Sockets.Shutdown(S, t, fd, how));

    [UnmanagedCallersOnly(EntryPoint = "accel_getsockname")]
    [return: DNNE.C99Type("long")]
    public static nint GetSockName(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        [DNNE.C99Type("void *")] void* addr,
        [DNNE.C99Type("uint32_t *")] uint* len) =>
        (nint)(Calls.GetSockName(S, fd, (byte*)addr, len));

    [UnmanagedCallersOnly(EntryPoint = "accel_getpeername")]
    [return: DNNE.C99Type("long")]
    public static nint GetPeerName(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        [DNNE.C99Type("void *")] void* addr,
        [DNNE.C99Type("uint32_t *")] uint* len) =>
        (nint)(Calls.GetPeerName(S, fd, (byte*)addr, len));

    [UnmanagedCallersOnly(EntryPoint = "accel_getsockopt")]
    [return: DNNE.C99Type("long")]
    public static nint GetSockOpt(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        int level,
        int name,
        [DNNE.C99Type("void *")] void* value,
        [DNNE.C99Type("uint32_t *")] uint* len) =>
        (nint)(SocketOptions.Get(S, t, fd, level, name, value, len));

    [UnmanagedCallersOnly(EntryPoint = "accel_setsockopt")]
    [return: DNNE.C99Type("long")]
    public static nint SetSockOpt(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        int level,
        int name,
        [DNNE.C99Type("const void *")] void* value,
        [DNNE.C99Type("uint32_t")] uint len) =>
        (nint)(SocketOptions.Set(S, t, fd, level, name, value, len));

    [UnmanagedCallersOnly(EntryPoint = "accel_recv")]
    [return: DNNE.C99Type("long")]
    public static nint Receive(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        [DNNE.C99Type("void *")] void* buf,
        [DNNE.C99Type("size_t")] nuint len,
        int flags) =>
        (nint)(Receiver.Receive(S, t, fd, (byte*)buf, len, flags));

    [UnmanagedCallersOnly(EntryPoint = "accel_recvmsg")]
    [return: DNNE.C99Type("long")]
    public static nint ReceiveMessage(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        [DNNE.C99Type("struct msghdr *")] MsgHdr* msg,
        int flags) =>
        (nint)(Receiver.ReceiveMessage(S, t, fd, msg, flags));

    [UnmanagedCallersOnly(EntryPoint = "accel_send")]
    [return: DNNE.C99Type("long")]
    public static nint Send(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        [DNNE.C99Type("const void *")] void* buf,
        [DNNE.C99Type("size_t")] nuint len,
        int flags) =>
        (nint)(Sender.Send(S, t, fd, (byte*)buf, len, flags));

    [UnmanagedCallersOnly(EntryPoint = "accel_sendmsg")]
    [return: DNNE.C99Type("long")]
    public static nint SendMessage(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        [DNNE.C99Type("const struct msghdr *")] MsgHdr* msg,
        int flags) =>
        (nint)(Sender.SendMessage(S, t, fd, msg, flags));

    [UnmanagedCallersOnly(EntryPoint = "accel_sendfile")]
    [return: DNNE.C99Type("long")]
    public static nint SendFile(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int output,
        int input,
        [DNNE.C99Type("int64_t *")] long* offset,
        [DNNE.C99Type("size_t")] nuint count) =>
        (nint)(Sender.SendFile(S, t, output, input, offset, count));

    [UnmanagedCallersOnly(EntryPoint = "accel_splice")]
    [return: DNNE.C99Type("long")]
    public static nint Splice(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int input,
        [DNNE.C99Type("int64_t *")] long* inOffset,
        int output,
        [DNNE.C99Type("int64_t *")] long* outOffset,
        [DNNE.C99Type("size_t")] nuint count,
        [DNNE.C99Type("uint32_t")] uint flags) =>
        (nint)(Calls.Splice(S, t, input, inOffset, output, outOffset, count, flags));

    [UnmanagedCallersOnly(EntryPoint = "accel_ioctl")]
    [return: DNNE.C99Type("long")]
    public static nint IoControl(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        [DNNE.C99Type("unsigned long")] nuint request,
        [DNNE.C99Type("void *")] void* arg) =>
        (nint)(Calls.IoControl(S, t, fd, request, (int*)arg));

    [UnmanagedCallersOnly(EntryPoint = "accel_fcntl")]
    [return: DNNE.C99Type("long")]
    public static nint Control(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        int cmd,
        [DNNE.C99Type("long")] nint arg) =>
        (nint)(Calls.Control(S, t, fd, cmd, arg));

    [UnmanagedCallersOnly(EntryPoint = "accel_close")]
    [return: DNNE.C99Type("long")]
    public static nint Close(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd) =>
        (nint)(Sockets.Close(S, t, fd));

    [UnmanagedCallersOnly(EntryPoint = "accel_dup")]
    [return: DNNE.C99Type("long")]
    public static nint Duplicate(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int call,
        int oldfd,
        [DNNE.C99Type("long")] nint second,
        [DNNE.C99Type("long")] nint third) =>
        (nint)(Sockets.Duplicate(S, t, call, oldfd, second, third));

    [UnmanagedCallersOnly(EntryPoint = "accel_rights_send")]
    [return: DNNE.C99Type("long")]
    public static nint SendRights(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int channel,
        [DNNE.C99Type("int *")] int* descriptors,
        int count) =>
        (nint)(Rights.Send(S, t, channel, descriptors, count));

    [UnmanagedCallersOnly(EntryPoint = "accel_rights_unsend")]
    [return: DNNE.C99Type("long")]
    public static nint UnsendRights(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int channel,
        [DNNE.C99Type("int *")] int* descriptors,
        int count) =>
        (nint)(Rights.Unsend(S, t, channel, descriptors, count));

    [UnmanagedCallersOnly(EntryPoint = "accel_rights_taken")]
    [return: DNNE.C99Type("long")]
    public static nint TakenRights(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int pid,
        int fd) =>
        (nint)(Rights.Taken(S, pid, fd));

    [UnmanagedCallersOnly(EntryPoint = "accel_rights_receive")]
    [return: DNNE.C99Type("long")]
    public static nint ReceiveRights(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int fd,
        int peeked) =>
        (nint)(Rights.Receive(S, t, fd, peeked != 0));

    [UnmanagedCallersOnly(EntryPoint = "accel_epoll_ctl")]
    [return: DNNE.C99Type("long")]
    public static nint EpollControl(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int epfd,
        int op,
        int fd,
        [DNNE.C99Type("struct epoll_event *")] EpollEvent* change) =>
        (nint)(EpollSets.Control(S, t, epfd, op, fd, change));

    [UnmanagedCallersOnly(EntryPoint = "accel_epoll_wait")]
    [return: DNNE.C99Type("long")]
    public static nint EpollWait(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int epfd,
        [DNNE.C99Type("struct epoll_event *")] EpollEvent* events,
        int max,
        [DNNE.C99Type("int64_t")] long timeoutNs) =>
        (nint)(EpollWaits.Wait(S, t, epfd, events, max, timeoutNs));

    [UnmanagedCallersOnly(EntryPoint = "accel_poll")]
    [return: DNNE.C99Type("long")]
    public static nint Poll(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        [DNNE.C99Type("struct pollfd *")] PollFd* fds,
        [DNNE.C99Type("uint64_t")] ulong count,
        [DNNE.C99Type("int64_t")] long timeoutNs) =>
        (nint)(PollCalls.Poll(S, t, fds, (uint)count, timeoutNs));

    [UnmanagedCallersOnly(EntryPoint = "accel_abort")]
    [return: DNNE.C99Type("long")]
    public static nint Abort(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t) =>
        (nint)(Waits.Abort(S, t));

    [UnmanagedCallersOnly(EntryPoint = "accel_fork_prepare")]
    [return: DNNE.C99Type("long")]
    public static nint ForkPrepare(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t) =>
        (nint)(Processes.ForkPrepare(S, t));

    [UnmanagedCallersOnly(EntryPoint = "accel_fork_steps")]
    [return: DNNE.C99Type("const struct accel_step *")]
    public static AccelStep* ForkSteps() => S.PlainFork.Steps;

    [UnmanagedCallersOnly(EntryPoint = "accel_fork_done")]
    [return: DNNE.C99Type("long")]
    public static nint ForkDone(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int slot,
        int pid) =>
        (nint)(Processes.ForkDone(S, t, slot, pid));

    [UnmanagedCallersOnly(EntryPoint = "accel_adopt")]
    [return: DNNE.C99Type("long")]
    public static nint Adopt(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t) =>
        (nint)(Processes.Adopt(S, t));

    [UnmanagedCallersOnly(EntryPoint = "accel_confine")]
    [return: DNNE.C99Type("long")]
    public static nint Confine(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t) =>
        (nint)(Processes.Confine(S, t));

    [UnmanagedCallersOnly(EntryPoint = "accel_ring")]
    [return: DNNE.C99Type("long")]
    public static nint Ring(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t) =>
        (nint)(Departure.ForRings(S, t));

    [UnmanagedCallersOnly(EntryPoint = "accel_exec_prepare")]
    [return: DNNE.C99Type("long")]
    public static nint ExecPrepare(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int takesOver) =>
        (nint)(Exec.Prepare(S, t, takesOver != 0));

    [UnmanagedCallersOnly(EntryPoint = "accel_exec_failed")]
    [return: DNNE.C99Type("long")]
    public static nint ExecFailed(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t,
        int tookOver) =>
        (nint)(Exec.Failed(S, t, tookOver != 0));

    [UnmanagedCallersOnly(EntryPoint = "accel_exit")]
    [return: DNNE.C99Type("long")]
    public static nint Exit(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t) =>
        (nint)(Linger.Exit(S, t));

    [UnmanagedCallersOnly(EntryPoint = "accel_progress")]
    [return: DNNE.C99Type("long")]
    public static nint RunProgress(
        [DNNE.C99Type("struct accel_thread *")] AccelThread* t) =>
        (nint)(Progress.Run(S, t));
}
