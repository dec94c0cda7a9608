"""What may end a program other than a bug: an error that a person can mend, and being asked to end."""

EXIT_USER_ERROR = 2
PREEMPTED_EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: the same command again goes on from here
STOPPED_EXIT_CODE = 130  # as after Ctrl-C: a person wanted it to end


class UserError(Exception):
    """Something to be put right by whoever started the program: one line, saying what is wrong and what to do."""


class Preempted(Exception):  # noqa: N818 - it is no error
    """The program was asked to end (SIGTERM, SIGINT, SIGUSR1) and has kept what it had done: one line saying so."""

    exit_code = PREEMPTED_EXIT_CODE


class Stopped(Preempted):
    """The same by a person who watches the run: nothing but the same command starts it again."""

    exit_code = STOPPED_EXIT_CODE
