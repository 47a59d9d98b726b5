/* Two ends of a TCP connection over loopback. */
#ifndef BOXEDGE_TCP_PAIR_H
#define BOXEDGE_TCP_PAIR_H

/* fds[0] accepted, fds[1] connected. Neither blocks nor delays small segments; the caller closes both. */
void tcp_pair(int fds[2]);

#endif
