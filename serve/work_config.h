/* What the engine thread is made with, and what can be known of it: that part of work.h which needs
 * none of its commands and events. */
#ifndef SERVE_WORK_CONFIG_H
#define SERVE_WORK_CONFIG_H

#include <runnel/runnel_batch.h>

typedef struct work_config {
    int thread_count;        /* of the pool */
    int context_cap;         /* positions of a conversation */
    rnl_kv_cache kv_cache;   /* of it */
    double clip_seconds_max; /* longest clip of a turn */
    int session_cap;         /* conversations at most; 0: as many as the machine can */
    int sessions_of_owner;   /* of one owner above 0 at most; 0: half of all, at least one */
    double oversubscribe;    /* conversations for each that can speak at once */
    size_t memory_size_max;  /* bytes of all conversations and the batch; SIZE_MAX: 60 % of what
                              * memory_free leaves beside the model */
    size_t memory_free;      /* bytes; default: what the process may have now */
    int jobs;                /* transcripts at once */
    bool ffmpeg;             /* may be asked about files that nothing else knows */
    /* Tells the batch what passes take, as measured before (rnl_batch_set_times), and returns how
     * many numbers of rows that were; 0, or NULL (default): they are measured at the start, which
     * takes 2 s at most. Called by work_create. */
    int (*give_times)(void *context, rnl_batch *batch);
    void *times_context;
    struct metrics *metrics; /* counts what is done; NULL: nobody does */
    /* Events wait: make the loop thread call work_dispatch. Called by the engine thread. */
    void (*wake)(void *owner);
    void *owner;
} work_config;

typedef struct work_facts {
    bool starting;           /* passes are being measured */
    double measured_seconds; /* how long that took; 0: they were known */
    bool draining;
    bool alive;             /* the thread made a step within 10 s, or has nothing to do */
    bool admits;            /* one more conversation may be opened */
    int conversations;      /* open, of all kinds but transcripts and those beside others: */
    int beside, beside_max; /* that are open, and may be */
    int kept;               /* sessions of conversations that are over */
    int session_max;        /* S_max; */
    bool memory_binds;      /* with more memory it would be more */
    int speaking_max;       /* S_load; 0: not even one in real time */
    int speaking;           /* replies that are being played */
    int transcripts;        /* open */
    double load;            /* speaking / speaking_max, over 10 s */
    int64_t pass_count;     /* since the start, */
    int64_t rows;           /* positions that went through in them, */
    int64_t decisions;      /* and decisions of these */
    size_t session_size;    /* bytes of one conversation */
    size_t batch_size;      /* bytes of the batch */
} work_facts;

#endif
