namespace Accel.Daemon;

static class Program
{
    static int Main(string[] args) => 0;
}
