/* What a provider has compiled of a graph (a "context" of ONNX Runtime), kept in the cache: a
 * folder of whatever files it makes, of which graph.onnx is the one to open. They are made in a
 * folder beside it, which takes the name when all of them are there.
 *
 *     FOLDER/       graph.onnx, graph_qnn.bin, ...
 *     FOLDER.made   one sum over the key and all their bytes, written last
 *
 * The key says what they depend on besides the graph. So what another driver made, what was damaged
 * and what a crash cut short is told from what is whole, and is made again. */
#ifndef DEVICES_ONNX_KEPT_H
#define DEVICES_ONNX_KEPT_H

#include <stdbool.h>

/* The file to open, or to have made, in a folder. NULL: no memory. free() it. */
char *onnx_kept_graph(const char *folder);

/* It is there, made for this key, and unharmed. Reads all of it. */
bool onnx_kept_whole(const char *folder, const char *key);

/* An empty folder for what will be kept in `folder`; NULL: none can be made, and nothing will be.
 * Ended by commit or abort. */
char *onnx_kept_begin(const char *folder);
/* What was made takes the place of what is there; nothing was made: that stays. If that fails,
 * nothing is kept, and the graph will be compiled again. Frees *fresh and sets NULL. */
void onnx_kept_commit(char **fresh, const char *folder, const char *key);
void onnx_kept_abort(char **fresh); /* NULL is fine; sets NULL */

#endif
