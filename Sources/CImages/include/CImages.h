#ifndef CIMAGES_H
#define CIMAGES_H

#include <stddef.h>
#include <stdint.h>

// libjpeg and libpng report errors by longjmp, which must not cross Swift frames. These functions keep every
// jump inside C, own no state between calls and may be used from any number of threads.

enum {
    CIMAGES_OK = 0,
    CIMAGES_INCOMPLETE = 1,   // the data ends, or breaks off, before the picture does
    CIMAGES_CORRUPT = 2,      // the data contradicts the format
    CIMAGES_UNSUPPORTED = 3,  // a legal variant that the library does not decode
    CIMAGES_TOO_MUCH = 4,     // more scans or memory than allowed
    CIMAGES_NO_MEMORY = 5
};

typedef struct {
    int32_t warnings;  // corrupt-data warnings of the library
    char message[200];  // the library's first words about what went wrong, NUL-terminated
} cimages_report;

// Decodes a JPEG into rgb, `height * width * 3` bytes, top row first. The size must be that of the frame header.
// CMYK and YCCK are taken as stored inverted, as Adobe writes them. Returns one of the codes above.
int cimages_jpeg_decode(const uint8_t *data, size_t size, uint32_t width, uint32_t height, uint32_t max_scans,
                        size_t max_memory, uint8_t *rgb, cimages_report *report);

// Encodes `height * width * 3` bytes as a baseline JPEG (4:2:0). *out is to be released with cimages_free.
int cimages_jpeg_encode(const uint8_t *rgb, uint32_t width, uint32_t height, int quality, uint8_t **out,
                        size_t *out_size, cimages_report *report);

enum {
    CIMAGES_PNG_OVER_WHITE = 1,   // composite alpha over white; otherwise alpha is dropped
    CIMAGES_PNG_CLIP_GRAY16 = 2   // 16-bit grey: min(value, 255) instead of the high byte
};

// Decodes a PNG into rgb, `height * width * 3` bytes, top row first. The size must be that of IHDR.
// 16-bit samples give their high byte; gamma and colour profiles are ignored. Checks up to and with IEND.
int cimages_png_decode(const uint8_t *data, size_t size, uint32_t width, uint32_t height, int flags, uint8_t *rgb,
                       cimages_report *report);

// Encodes `height * width * 3` bytes as an 8-bit RGB PNG. *out is to be released with cimages_free.
int cimages_png_encode(const uint8_t *rgb, uint32_t width, uint32_t height, uint8_t **out, size_t *out_size,
                       cimages_report *report);

void cimages_free(uint8_t *bytes);

#endif
