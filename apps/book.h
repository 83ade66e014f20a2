/* runnel say: a text of any length becomes one sound file, sentence by sentence. */
#ifndef APPS_BOOK_H
#define APPS_BOOK_H

#include "apps/options.h"

/* Speaks the text of -f ("-": standard input), or the argument, into o->output. prompt: the system
 * prompt, or "". The session is reset for each sentence, so that none depends on what was spoken
 * before it and a run that goes on gives the same samples. EXIT_OK or the code of a complaint;
 * EXIT_STOPPED on Ctrl-C, with a line on how to go on; EXIT_FAILED and no file when there is not
 * one sample. */
int book_speak(const options *o, rnl_model *model, rnl_session *session, const char *prompt);
/* What can be refused before a model is opened: the target, a text that is not there or empty, an
 * earlier run. o has one argument or a file of -f. *finished: there is nothing left to do. */
int book_check(const options *o, bool *finished);
/* "OUT: is finished already" */
void book_tell_finished(const options *o);
/* The file that is written: -o, or "say.wav". */
const char *book_output(const options *o);

#endif
