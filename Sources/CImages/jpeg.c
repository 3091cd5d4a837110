#include "CImages.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

typedef struct {
    struct jpeg_error_mgr base;  // must stay first: libjpeg hands back a pointer to it
    jmp_buf escape;
    cimages_report *report;
    int reached_end;
    int too_many_scans;
} error_manager;

static void keep_message(j_common_ptr info, cimages_report *report) {
    if (report->message[0] != 0) return;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    snprintf(report->message, sizeof report->message, "%s", text);
}

static void on_error(j_common_ptr info) {
    error_manager *manager = (error_manager *)info->err;
    keep_message(info, manager->report);
    longjmp(manager->escape, 1);
}

// Level < 0 is a corrupt-data warning. Those about a marker's version or profile say nothing about the picture.
static void on_message(j_common_ptr info, int level) {
    if (level >= 0) return;
    switch (info->err->msg_code) {
        case JWRN_ADOBE_XFORM:
        case JWRN_JFIF_MAJOR:
        case JWRN_BOGUS_ICC:
            return;
        default:
            break;
    }
    error_manager *manager = (error_manager *)info->err;
    if (manager->report->warnings < INT32_MAX) manager->report->warnings++;
    keep_message(info, manager->report);
}

static void silent(j_common_ptr info) { (void)info; }

// --- source: one block of memory; at its end a made-up EOI, and the fact is remembered

static void source_start(j_decompress_ptr info) { (void)info; }

static boolean source_fill(j_decompress_ptr info) {
    static const JOCTET end_of_image[2] = {0xFF, JPEG_EOI};
    ((error_manager *)info->err)->reached_end = 1;
    WARNMS(info, JWRN_JPEG_EOF);
    info->src->next_input_byte = end_of_image;
    info->src->bytes_in_buffer = sizeof end_of_image;
    return TRUE;
}

static void source_skip(j_decompress_ptr info, long count) {
    if (count <= 0) return;
    if ((size_t)count > info->src->bytes_in_buffer) {
        (void)source_fill(info);
        return;
    }
    info->src->next_input_byte += count;
    info->src->bytes_in_buffer -= (size_t)count;
}

// --- a progressive file may hold any number of scans, each a pass over the whole picture

typedef struct {
    struct jpeg_progress_mgr base;
    uint32_t max_scans;
} scan_limit;

static void check_scans(j_common_ptr info) {
    if (!info->is_decompressor) return;
    const scan_limit *limit = (const scan_limit *)info->progress;
    error_manager *manager = (error_manager *)info->err;
    if ((uint32_t)((j_decompress_ptr)info)->input_scan_number <= limit->max_scans) return;
    manager->too_many_scans = 1;
    snprintf(manager->report->message, sizeof manager->report->message, "more than %u scans", limit->max_scans);
    longjmp(manager->escape, 1);
}

static uint8_t scaled(unsigned ink, unsigned light) {
    unsigned product = ink * light + 128;
    return (uint8_t)((product + (product >> 8)) >> 8);
}

// Adobe stores 255 - ink, so that the samples are already amounts of light.
static void inverted_cmyk_to_rgb(const JSAMPLE *in, uint8_t *out, uint32_t width) {
    for (uint32_t x = 0; x < width; x++, in += 4, out += 3) {
        unsigned light = in[3];
        for (int c = 0; c < 3; c++) out[c] = (uint8_t)(light - scaled(255u - in[c], light));
    }
}

static int verdict(const error_manager *manager, int code) {
    if (manager->too_many_scans) return CIMAGES_TOO_MUCH;
    if (manager->reached_end) return CIMAGES_INCOMPLETE;
    switch (code) {
        case JERR_OUT_OF_MEMORY:
            return CIMAGES_NO_MEMORY;
        case JERR_NO_BACKING_STORE:
            return CIMAGES_TOO_MUCH;
        case JERR_SOF_UNSUPPORTED:
        case JERR_CONVERSION_NOTIMPL:
        case JERR_BAD_PRECISION:
        case JERR_ARITH_NOTIMPL:
        case JERR_NOTIMPL:
        case JERR_NOT_COMPILED:
        case JERR_CCIR601_NOTIMPL:
        case JERR_FRACT_SAMPLE_NOTIMPL:
            return CIMAGES_UNSUPPORTED;
        default:
            return CIMAGES_CORRUPT;
    }
}

int cimages_jpeg_decode(const uint8_t *data, size_t size, uint32_t width, uint32_t height, uint32_t max_scans,
                        size_t max_memory, uint8_t *rgb, cimages_report *report) {
    memset(report, 0, sizeof *report);
    struct jpeg_decompress_struct info;
    memset(&info, 0, sizeof info);
    error_manager manager;
    memset(&manager, 0, sizeof manager);
    info.err = jpeg_std_error(&manager.base);
    manager.base.error_exit = on_error;
    manager.base.emit_message = on_message;
    manager.base.output_message = silent;
    manager.report = report;
    if (setjmp(manager.escape)) {
        int code = verdict(&manager, manager.base.msg_code);
        jpeg_destroy_decompress(&info);
        return code;
    }
    jpeg_create_decompress(&info);
    info.mem->max_memory_to_use = (long)max_memory;
    struct jpeg_source_mgr source = {
        .next_input_byte = data,
        .bytes_in_buffer = size,
        .init_source = source_start,
        .fill_input_buffer = source_fill,
        .skip_input_data = source_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = source_start,
    };
    info.src = &source;
    scan_limit limit = {.base = {.progress_monitor = check_scans}, .max_scans = max_scans};
    info.progress = &limit.base;

    jpeg_read_header(&info, TRUE);
    if (info.image_width != width || info.image_height != height) {
        snprintf(report->message, sizeof report->message, "two frame headers of different size");
        jpeg_destroy_decompress(&info);
        return CIMAGES_CORRUPT;
    }
    int four = info.num_components == 4;
    info.out_color_space = four ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&info);
    size_t row_bytes = (size_t)width * 3;
    JSAMPARRAY ink = NULL;
    if (four) ink = (*info.mem->alloc_sarray)((j_common_ptr)&info, JPOOL_IMAGE, width * 4, 1);
    while (info.output_scanline < height) {
        uint8_t *row = rgb + row_bytes * info.output_scanline;
        JSAMPROW target = four ? ink[0] : row;
        if (jpeg_read_scanlines(&info, &target, 1) != 1) break;
        if (four) inverted_cmyk_to_rgb(target, row, width);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    return report->warnings > 0 ? CIMAGES_INCOMPLETE : CIMAGES_OK;
}

int cimages_jpeg_encode(const uint8_t *rgb, uint32_t width, uint32_t height, int quality, uint8_t **out,
                        size_t *out_size, cimages_report *report) {
    memset(report, 0, sizeof *report);
    *out = NULL;
    *out_size = 0;
    struct jpeg_compress_struct info;
    memset(&info, 0, sizeof info);
    error_manager manager;
    memset(&manager, 0, sizeof manager);
    info.err = jpeg_std_error(&manager.base);
    manager.base.error_exit = on_error;
    manager.base.emit_message = on_message;
    manager.base.output_message = silent;
    manager.report = report;
    unsigned char *buffer = NULL;
    unsigned long length = 0;
    unsigned char **volatile buffer_at = &buffer;  // volatile: read again after a jump
    if (setjmp(manager.escape)) {
        jpeg_destroy_compress(&info);
        free(*buffer_at);
        return manager.base.msg_code == JERR_OUT_OF_MEMORY ? CIMAGES_NO_MEMORY : CIMAGES_CORRUPT;
    }
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &buffer, &length);
    info.image_width = width;
    info.image_height = height;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    info.optimize_coding = TRUE;
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < height) {
        JSAMPROW row = (JSAMPROW)(rgb + (size_t)info.next_scanline * width * 3);
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    *out = buffer;
    *out_size = length;
    return CIMAGES_OK;
}

void cimages_free(uint8_t *bytes) { free(bytes); }
