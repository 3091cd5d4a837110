#include "CImages.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint8_t *next;
    size_t left;
    int reached_end;
} png_source;

typedef struct {
    uint8_t *bytes;
    size_t count;
    size_t capacity;
    int no_memory;
} png_sink;

static _Noreturn void on_error(png_structp png, png_const_charp text) {
    cimages_report *report = png_get_error_ptr(png);
    if (report->message[0] == 0) snprintf(report->message, sizeof report->message, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)text;
    cimages_report *report = png_get_error_ptr(png);
    if (report->warnings < INT32_MAX) report->warnings++;
}

static void read_bytes(png_structp png, png_bytep out, size_t count) {
    png_source *source = png_get_io_ptr(png);
    if (count > source->left) {
        source->reached_end = 1;
        png_error(png, "the data ends early");
    }
    memcpy(out, source->next, count);
    source->next += count;
    source->left -= count;
}

static uint8_t over_white(unsigned sample, unsigned alpha) {
    return (uint8_t)((sample * alpha + 255u * (255u - alpha) + 127u) / 255u);
}

// in: width * 4 RGBA; out: width * 3. out may be in itself or lie before it.
static void drop_alpha(const uint8_t *in, uint8_t *out, size_t width, int composite) {
    for (size_t x = 0; x < width; x++, in += 4, out += 3) {
        unsigned r = in[0], g = in[1], b = in[2], a = in[3];
        out[0] = composite ? over_white(r, a) : (uint8_t)r;
        out[1] = composite ? over_white(g, a) : (uint8_t)g;
        out[2] = composite ? over_white(b, a) : (uint8_t)b;
    }
}

// in: width big-endian 16-bit grey samples.
static void clip_gray16(const uint8_t *in, uint8_t *out, size_t width) {
    for (size_t x = 0; x < width; x++, in += 2, out += 3) memset(out, in[0] ? 255 : in[1], 3);
}

// Chunks that carry text, profiles and palettes for others: never inflated, never stored.
static const png_byte ignored_chunks[] = "iCCP\0zTXt\0tEXt\0iTXt\0sPLT\0eXIf\0hIST\0pCAL\0sCAL\0gAMA\0cHRM\0sRGB";

int cimages_png_decode(const uint8_t *data, size_t size, uint32_t width, uint32_t height, int flags, uint8_t *rgb,
                       cimages_report *report) {
    memset(report, 0, sizeof *report);
    png_source source = {.next = data, .left = size};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, report, on_error, on_warning);
    if (png == NULL) return CIMAGES_NO_MEMORY;
    png_infop info = png_create_info_struct(png);
    if (info == NULL) {
        png_destroy_read_struct(&png, NULL, NULL);
        return CIMAGES_NO_MEMORY;
    }
    png_source *volatile source_at = &source;  // volatile: read again after a jump
    uint8_t *volatile scratch = NULL;
    volatile int code = CIMAGES_CORRUPT;
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_read_struct(&png, &info, NULL);
        free(scratch);
        return source_at->reached_end ? CIMAGES_INCOMPLETE : code;
    }
    png_set_user_limits(png, width, height);
    png_set_chunk_malloc_max(png, 1 << 20);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, ignored_chunks, (int)(sizeof ignored_chunks / 5));
    png_set_read_fn(png, &source, read_bytes);
    png_read_info(png, info);
    if (png_get_image_width(png, info) != width || png_get_image_height(png, info) != height)
        png_error(png, "two headers of different size");

    int clipped = (flags & CIMAGES_PNG_CLIP_GRAY16) && png_get_bit_depth(png, info) == 16 &&
                  png_get_color_type(png, info) == PNG_COLOR_TYPE_GRAY;
    if (!clipped) {
        png_set_expand(png);
        png_set_strip_16(png);
        png_set_gray_to_rgb(png);
    }
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    size_t channels = clipped ? 2 : png_get_channels(png, info);  // bytes a pixel in both cases
    size_t row_bytes = png_get_rowbytes(png, info);
    if ((channels != 2 && channels != 3 && channels != 4) || row_bytes != width * channels)
        png_error(png, "unexpected row layout");

    int direct = channels == 3;
    if (!direct) {
        scratch = malloc(passes > 1 ? row_bytes * height : row_bytes);
        if (scratch == NULL) {
            code = CIMAGES_NO_MEMORY;
            png_error(png, "out of memory");
        }
    }
    for (int pass = 0; pass < passes; pass++) {
        for (uint32_t y = 0; y < height; y++) {
            uint8_t *target = rgb + (size_t)y * width * 3;
            uint8_t *row = direct ? target : passes > 1 ? scratch + row_bytes * y : scratch;
            png_read_row(png, row, NULL);
            if (direct || pass + 1 < passes) continue;
            if (clipped)
                clip_gray16(row, target, width);
            else
                drop_alpha(row, target, width, flags & CIMAGES_PNG_OVER_WHITE);
        }
    }
    png_read_end(png, NULL);
    png_destroy_read_struct(&png, &info, NULL);
    free(scratch);
    return CIMAGES_OK;
}

static void write_bytes(png_structp png, png_bytep bytes, size_t count) {
    png_sink *sink = png_get_io_ptr(png);
    if (count > sink->capacity - sink->count) {
        size_t capacity = (sink->capacity + count) * 2;
        uint8_t *grown = realloc(sink->bytes, capacity);
        if (grown == NULL) {
            sink->no_memory = 1;
            png_error(png, "out of memory");
        }
        sink->bytes = grown;
        sink->capacity = capacity;
    }
    memcpy(sink->bytes + sink->count, bytes, count);
    sink->count += count;
}

static void flush_nothing(png_structp png) { (void)png; }

int cimages_png_encode(const uint8_t *rgb, uint32_t width, uint32_t height, uint8_t **out, size_t *out_size,
                       cimages_report *report) {
    memset(report, 0, sizeof *report);
    *out = NULL;
    *out_size = 0;
    png_sink sink = {0};
    png_sink *volatile sink_at = &sink;  // volatile: read again after a jump
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, report, on_error, on_warning);
    if (png == NULL) return CIMAGES_NO_MEMORY;
    png_infop info = png_create_info_struct(png);
    if (info == NULL) {
        png_destroy_write_struct(&png, NULL);
        return CIMAGES_NO_MEMORY;
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        free(sink_at->bytes);
        return sink_at->no_memory ? CIMAGES_NO_MEMORY : CIMAGES_CORRUPT;
    }
    png_set_write_fn(png, &sink, write_bytes, flush_nothing);
    png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (uint32_t y = 0; y < height; y++) png_write_row(png, rgb + (size_t)y * width * 3);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    *out = sink.bytes;
    *out_size = sink.count;
    return CIMAGES_OK;
}
