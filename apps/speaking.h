/* How many conversations of a batch can speak at once, in real time. Each 960 ms of speech are 12
 * frames of 80 ms, and beside them 6 tokens of text; 80 % of the time may go into them, the rest is
 * for what is heard meanwhile. */
#ifndef APPS_SPEAKING_H
#define APPS_SPEAKING_H

/* Passes over the weights for so many conversations: a token each, a frame each. */
typedef struct speaking_times {
    int rows; /* >= 1 */
    double text_ms, frame_ms;
} speaking_times;

/* The largest number, at most that of the largest rows. `times` [count >= 1], in any order; between
 * two of them a straight line, below the least of them as long as that. 0: not even one. */
int speaking_count(const speaking_times *times, int count);

#endif
