// A C face of the SentencePiece library; no exception crosses it.
#ifndef DROPREEL_C_SENTENCE_PIECE_H
#define DROPREEL_C_SENTENCE_PIECE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sentence_piece_model sentence_piece_model;

/// Loads a serialized model. On failure returns NULL and writes the reason, NUL-terminated, to `error`.
sentence_piece_model *_Nullable sentence_piece_load(const void *_Nonnull bytes, size_t count, char *_Nonnull error,
                                                    size_t error_capacity);
void sentence_piece_free(sentence_piece_model *_Nullable model);

int32_t sentence_piece_count(const sentence_piece_model *_Nonnull model);
/// The text of piece `id`, valid as long as the model, and its length in bytes.
const char *_Nullable sentence_piece_text(const sentence_piece_model *_Nonnull model, int32_t id,
                                          size_t *_Nonnull length);
float sentence_piece_score(const sentence_piece_model *_Nonnull model, int32_t id);
/// -1 where the model defines none.
int32_t sentence_piece_unknown_id(const sentence_piece_model *_Nonnull model);
int32_t sentence_piece_end_id(const sentence_piece_model *_Nonnull model);

/// Writes up to `capacity` ids to `ids` and returns how many the text has, or -1 on failure.
int64_t sentence_piece_encode(const sentence_piece_model *_Nonnull model, const char *_Nonnull text, size_t length,
                              int32_t *_Nonnull ids, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
