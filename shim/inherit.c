/* The last constructor of the library, by its place at the end of the link: the managed runtime's own have run. An
 * image that exec() gave sockets takes them over before its program begins; all others leave here at once. */
#include "shim.h"

__attribute__((constructor)) static void inherit(void)
{
    struct shim_thread *s = &shim_self;
    if (likely(accel_process.inherited == 0)) return;
    if (shim_start() && accel_process.adopted == 0) shim_prepare_thread(s);
    if (accel_process.inherited != 0) shim_inherit_streams();
    else shim_log("exec: there is nothing to take over");
}
