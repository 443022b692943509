/*
 * command.h - can the command of a plugin be run at all?
 */
#ifndef NR_POLICY_COMMAND_H
#define NR_POLICY_COMMAND_H

#define NR_COMMAND_WORD	256

/*
 * Look whether /bin/sh -c command would find a program and may run it, by
 * the first word that is not an assignment or "exec".  Where that is more
 * than a plain word, only running it could tell.
 * word     that word, where something is wrong with it
 * Returns  0, also where it cannot be told; ENOENT, EACCES or what else
 *	    stat() says.
 * Cost     may run a shell, and wait for it.
 */
int	nr_command_find(char word[NR_COMMAND_WORD], const char *command);

#endif
