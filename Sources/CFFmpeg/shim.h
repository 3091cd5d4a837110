#ifndef CFFMPEG_SHIM_H
#define CFFMPEG_SHIM_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>
#include <libavutil/dict.h>
#include <libavutil/frame.h>
#include <libavutil/log.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>

// Macros that Swift does not import.

static inline int cffmpeg_error(int code) { return AVERROR(code); }
static inline int cffmpeg_error_eof(void) { return AVERROR_EOF; }
static inline int cffmpeg_error_decoder_not_found(void) { return AVERROR_DECODER_NOT_FOUND; }
static inline int cffmpeg_error_again(void) { return AVERROR(EAGAIN); }
static inline int64_t cffmpeg_no_pts(void) { return AV_NOPTS_VALUE; }

// `swr_convert` on a frame, whose planes Swift sees as another kind of pointer.
static inline int cffmpeg_resample(struct SwrContext *context, uint8_t **out, int room, const AVFrame *frame) {
    return swr_convert(context, out, room, (const uint8_t **)frame->extended_data, frame->nb_samples);
}

// The libraries' log: nothing reaches stderr; the last error text of this thread is kept for the error's hint.

enum { CFFMPEG_LOG_BYTES = 300 };

static inline char *cffmpeg_last_log(void) {
    static _Thread_local char text[CFFMPEG_LOG_BYTES];
    return text;
}

static inline void cffmpeg_log(void *object, int level, const char *format, va_list arguments) {
    (void)object;
    if (level > AV_LOG_ERROR) return;
    vsnprintf(cffmpeg_last_log(), CFFMPEG_LOG_BYTES, format, arguments);
}

static inline void cffmpeg_capture_log(void) { av_log_set_callback(cffmpeg_log); }

static inline int cffmpeg_has_avx2(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#else
    return 0;
#endif
}

#endif
