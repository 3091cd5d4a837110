#ifndef DROPREEL_CINOTIFYTOOLS_SHIM_H
#define DROPREEL_CINOTIFYTOOLS_SHIM_H

#include <sys/inotify.h>
#include <inotifytools/inotifytools.h>

#endif
