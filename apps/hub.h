/* The model hub: which one, who asks, what it says about a model, and what its refusals mean. */
#ifndef APPS_HUB_H
#define APPS_HUB_H

#include "apps/http.h"
#include "apps/hub_list.h"
#include "apps/hub_name.h"

enum { HUB_ENDPOINT_CAP = 1024, HUB_TOKEN_CAP = 512 };

typedef struct hub {
    char endpoint
        [HUB_ENDPOINT_CAP];    /* HF_ENDPOINT, else https://huggingface.co; no '/' at its end */
    char token[HUB_TOKEN_CAP]; /* HF_TOKEN, else of the file that Python keeps; "": none */
    http *http;
} hub;

/* EXIT_OK, or the code of a complaint about the environment. */
int hub_open(hub *h);
void hub_close(hub *h);

/* Asks what a model is at its revision, and for all its files there. EXIT_OK, or the code of a
 * complaint; the list is to be freed in any case. */
int hub_ask(hub *h, const hub_name *n, hub_info *info, hub_list *list);

/* The address of a file at a commit. False: it is too long. */
bool hub_file_url(const hub *h, const char *repo, const char *commit, const char *path,
                  char url[HTTP_URL_CAP]);
/* Takes an address of this hub apart: ENDPOINT/ORG/NAME/resolve/REVISION/FILE, or with blob/.
 * False: another address. */
bool hub_address_parse(const hub *h, const char *url, hub_name *n,
                       char path[HUB_FILE_PATH_MAX + 1]);

/* Complains about a request for `what` that failed, with the remedy; repo NULL: of no model of the
 * hub. Returns the exit code. */
int hub_complain(const hub *h, const char *what, const char *repo, const http_answer *a);

#endif
