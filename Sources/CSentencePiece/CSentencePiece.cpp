#include "CSentencePiece.h"

#include <sentencepiece_processor.h>

#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <vector>

struct sentence_piece_model {
    sentencepiece::SentencePieceProcessor processor;
};

static void report(const char *what, char *error, size_t capacity) {
    if (capacity == 0) return;
    std::strncpy(error, what, capacity - 1);
    error[capacity - 1] = 0;
}

sentence_piece_model *sentence_piece_load(const void *bytes, size_t count, char *error, size_t error_capacity) {
    try {
        auto model = std::make_unique<sentence_piece_model>();
        const auto status =
            model->processor.LoadFromSerializedProto(absl::string_view(static_cast<const char *>(bytes), count));
        if (status.ok()) return model.release();
        report(status.ToString().c_str(), error, error_capacity);
    } catch (const std::exception &failure) {
        report(failure.what(), error, error_capacity);
    } catch (...) {
        report("unknown failure", error, error_capacity);
    }
    return nullptr;
}

void sentence_piece_free(sentence_piece_model *model) { delete model; }

int32_t sentence_piece_count(const sentence_piece_model *model) { return model->processor.GetPieceSize(); }

const char *sentence_piece_text(const sentence_piece_model *model, int32_t id, size_t *length) {
    if (id < 0 || id >= model->processor.GetPieceSize()) return nullptr;
    const std::string &text = model->processor.IdToPiece(id);
    *length = text.size();
    return text.c_str();
}

float sentence_piece_score(const sentence_piece_model *model, int32_t id) {
    if (id < 0 || id >= model->processor.GetPieceSize()) return 0;
    return model->processor.GetScore(id);
}

int32_t sentence_piece_unknown_id(const sentence_piece_model *model) { return model->processor.unk_id(); }

int32_t sentence_piece_end_id(const sentence_piece_model *model) { return model->processor.eos_id(); }

int64_t sentence_piece_encode(const sentence_piece_model *model, const char *text, size_t length, int32_t *ids,
                              size_t capacity) {
    try {
        std::vector<int> found;
        if (!model->processor.Encode(absl::string_view(text, length), &found).ok()) return -1;
        for (size_t i = 0; i < found.size() && i < capacity; ++i) ids[i] = found[i];
        return static_cast<int64_t>(found.size());
    } catch (...) {
        return -1;
    }
}
