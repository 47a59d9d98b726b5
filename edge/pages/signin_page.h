/*
 * The pages of signing in and out (signin.html, signin_tab.html, signout.html). Their one script keeps the
 * fragment of the address, which only the browser has; without the script, signing in works but loses the
 * fragment.
 */
#ifndef BOXEDGE_SIGNIN_PAGE_H
#define BOXEDGE_SIGNIN_PAGE_H

#include "str.h"

#include "arena.h"

typedef struct signin_page {
    const char *box;
    uint16_t port;
    const char *label;  /* may be empty */
    const char *action; /* the address of the form */
    str_t next;         /* the path to open afterwards */
    bool bearer;
    bool basic;
    const char *problem; /* the error of the last attempt; NULL: none */
    str_t nonce;         /* of the script, as in the Content-Security-Policy */
} signin_page_t;

str_t signin_page_form(arena_t *pool, const signin_page_t *page);
/* For a frame in a site that is not allowed: a link that opens the preview in a separate tab. */
str_t signin_page_open_tab(arena_t *pool, const signin_page_t *page);
str_t signin_page_sign_out(arena_t *pool, const char *box, uint16_t port, const char *action);

#endif
