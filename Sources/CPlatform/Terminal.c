#include "CPlatform.h"

#include <errno.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

// What the handlers need: a process asks one question at a time.
static volatile sig_atomic_t terminal = -1;
static struct termios shown;
static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
enum { ending_count = sizeof ending / sizeof *ending };
static struct sigaction before[ending_count], before_stop;

// tcsetattr, sigaction and raise may be called in a handler.
static void show_and_end(int number) {
    if (terminal >= 0) tcsetattr(terminal, TCSANOW, &shown);
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigaction(number, &usual, NULL);
    raise(number);
}

int vt_hide_input(int descriptor) {
    if (tcgetattr(descriptor, &shown) != 0) return -errno;
    struct termios hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    struct sigaction show = {.sa_handler = show_and_end}, ignored = {.sa_handler = SIG_IGN};
    terminal = descriptor;
    for (int i = 0; i < ending_count; i++) {
        sigaction(ending[i], NULL, &before[i]);
        // Who ignores a signal goes on doing so.
        if (before[i].sa_handler != SIG_IGN) sigaction(ending[i], &show, NULL);
    }
    // A stopped process would leave the echo off.
    sigaction(SIGTSTP, &ignored, &before_stop);
    if (tcsetattr(descriptor, TCSAFLUSH, &hidden) == 0) return 0;
    int failure = errno;
    vt_show_input();
    return -failure;
}

void vt_show_input(void) {
    if (terminal < 0) return;
    tcsetattr(terminal, TCSAFLUSH, &shown);
    for (int i = 0; i < ending_count; i++) sigaction(ending[i], &before[i], NULL);
    sigaction(SIGTSTP, &before_stop, NULL);
    terminal = -1;
}
