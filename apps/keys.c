#include "apps/keys.h"

#include <poll.h>
#include <stdatomic.h>
#include <termios.h>
#include <unistd.h>

static atomic_bool keys_on;
static struct termios terminal; /* as it was; complete while keys_on is 1 */

bool keys_begin(void) {
    if (tcgetattr(STDIN_FILENO, &terminal) != 0) return false;
    struct termios raw = terminal;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    atomic_signal_fence(memory_order_release);
    keys_on = 1;
    return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

void keys_end(void) {
    if (keys_on) (void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
    keys_on = 0;
}

bool key_waits(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) == 1 && (input.revents & POLLIN) != 0;
}
