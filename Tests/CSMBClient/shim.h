// The SMB client library of Samba, for tests only: nothing that is shipped links it.
#include <libsmbclient.h>
