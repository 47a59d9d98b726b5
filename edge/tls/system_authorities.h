/*
 * The certificate authorities of the system: the file and the directories that OpenSSL looks in
 * (SSL_CERT_FILE and SSL_CERT_DIR, or the paths it was built with). OpenSSL's own lookup reads a
 * directory during a handshake. Workers open no file while they serve (system_calls.h), so the
 * supervisor reads all of them before.
 */
#ifndef BOXEDGE_SYSTEM_AUTHORITIES_H
#define BOXEDGE_SYSTEM_AUTHORITIES_H

/* Maximum authorities. Debian 12 has about 140, in its file and again in its directory. */
#define SYSTEM_AUTHORITIES_MAX 4096

/*
 * Returns all authorities in PEM form, each once; "" without any. The caller frees the text. Skips
 * files that cannot be read, as OpenSSL does, and all but regular ones. Blocks. NULL: out of memory.
 */
char *system_authorities_read(void);

#endif
