/* Into which views a picture is cut: pieces of it that go through the tower one by one. Whole
 * numbers only; no pixel is touched. family.md 2.3, 2.10. */
#ifndef VISION_VIEWS_H
#define VISION_VIEWS_H

#include <runnel/runnel.h>

enum {
    VIEWS_PATCH = 16, /* side of a patch, pixels */
    VIEWS_CELL = 32,  /* side of what becomes one row of the backbone: 2 x 2 patches */
    VIEWS_SIDE_MAX = 65535,
    VIEWS_GRID_MAX = 10,    /* tiles in a row or a column: the vocabulary has labels for no more */
    VIEWS_TOKEN_CAP = 4096, /* rows that a config may ask for */
    VIEWS_STRETCH = 4       /* a long stripe may have so many times token_max rows */
};

typedef enum views_filter { VIEWS_BILINEAR = 2, VIEWS_BICUBIC = 3 } views_filter; /* as in files */

/* What preprocessor_config.json says. */
typedef struct views_config {
    int token_min, token_max; /* rows of a view that shows the whole picture */
    int tile;                 /* side of a tile, a multiple of VIEWS_CELL */
    int tile_min, tile_max;   /* tiles of a picture */
    double tolerance;         /* of token_max, before a picture is cut into tiles */
    bool splits, thumbnail;
    views_filter filter;
    float mean[3], deviation[3]; /* of a channel, as a share of 255 */
} views_config;

/* The constants of the released models, which a GGUF file does not hold. */
views_config views_config_default(void);
/* RNL_ERR_FORMAT with a sentence that names the field (family.md 6). */
RNL_MUST_USE rnl_status views_config_check(const views_config *c, const char *file,
                                           rnl_error *error);

typedef struct views {
    int width, height;             /* of the picture */
    int cols, rows, tile;          /* 1, 1: no tiles but a view of the whole, or one tile */
    int whole_width, whole_height; /* of the view of the whole picture; 0: there is none */
    int count;
} views;

/* RNL_ERR_DATA: a side outside 1 to VIEWS_SIDE_MAX; RNL_ERR_TOO_LONG: a stripe of more than
 * VIEWS_STRETCH * token_max rows. */
RNL_MUST_USE rnl_status views_plan(const views_config *c, int width, int height, views *out,
                                   rnl_error *error);

/* One view: columns [x, x + width) and rows [y, y + height) of the picture resized to full_width x
 * full_height. */
typedef struct view {
    int full_width, full_height;
    int x, y, width, height;
    int row, col;  /* of a tile, from 1; 0: the whole picture */
    int row_count; /* of the backbone: (width / 32) * (height / 32) */
} view;
view views_at(const views *v, int index);

/* Positions of the picture in a conversation: its rows, a label before each view of several, and
 * the marks of its beginning and end. */
int views_position_count(const views *v);
/* The most that any picture has by this config: views, rows of one view. */
int views_count_max(const views_config *c);
int views_rows_max(const views_config *c);

#endif
