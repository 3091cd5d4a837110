import Foundation
import Generation
import Media
import WatchFolder

extension RenderOrder {
    /// What the film says about itself, in words, as JSON, and as the marks of synthetic media.
    func marks(request: GenerationRequest) throws -> VideoMarks {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return VideoMarks(
            comment: comment(request), dropreel: String(decoding: try encoder.encode(metadata), as: UTF8.self),
            aigc: try AIGCLabel(contentProducer: "Dropreel", produceID: jobID.text).json,
            xmp: SyntheticMediaXMP.packet(
                creatorTool: "Dropreel \(ProgramVersion.current)", digitalSourceType: digitalSourceType))
    }

    /// A film from a photograph is a composite; one from a picture that says that a model made it alone is not.
    var digitalSourceType: SyntheticMediaXMP.DigitalSourceType {
        guard imageSnapshot != nil else { return .trainedAlgorithmicMedia }
        let given = pictureMarks?.digitalSourceType
        return given?.hasSuffix("/" + SyntheticMediaXMP.DigitalSourceType.trainedAlgorithmicMedia.rawValue) == true
            ? .trainedAlgorithmicMedia : .compositeWithTrainedAlgorithmicMedia
    }

    private var pictureMarks: PictureMarks? { imageSnapshot.flatMap { try? PictureMarks.read(path: $0.path) } }

    /// What the JSON log says about marks: those written, and those that the picture carries.
    func markFields() -> [String: JSONValue] {
        var fields: [String: JSONValue] = [
            "marks": .object([
                "digital_source_type": .string(digitalSourceType.address), "aigc": .string(jobID.text),
                "visible_label": settings.visibleLabel.value.isEmpty ? .null : .string(settings.visibleLabel.value),
            ])
        ]
        if let found = pictureMarks {
            fields["image_marks"] = .object([
                "xmp": .bool(found.hasXMP), "c2pa_manifest": .bool(found.hasC2PAManifest),
                "digital_source_type": found.digitalSourceType.map { .string($0) } ?? .null,
            ])
        }
        return fields
    }

    /// Reads the finished film back.
    /// - Throws: `ServiceError` of code `storage` when it is not what was written.
    func verify(film: String, request: GenerationRequest) throws {
        let found = try VideoMetadata.read(path: film)
        guard found.marks == (try marks(request: request)), found.frameCount == request.frameCount,
            found.width == request.size.width, found.height == request.size.height,
            (found.sound != nil) == (audioSnapshot != nil)
        else {
            throw ServiceError(
                .storage, "The film was not on the disk as it was written.", hint: "Check the disk; the job runs again."
            )
        }
    }

    private func comment(_ request: GenerationRequest) -> String {
        let kind = imageSnapshot == nil ? "text to video" : "image to video"
        return """
            Made by a generative model. Prompt: \(promptUsed) | \(kind), model \(request.model), seed \(seed), \
            \(request.steps) steps, \(request.sampler.rawValue), \(request.size), \(request.frameCount) frames at \
            \(request.framesPerSecond) fps, attention \(request.attention.rawValue)
            """
    }
}

extension GenerationReport {
    /// The report as fields of the JSON log; stages become `timings`.
    func fields() throws -> [String: JSONValue] {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        var fields = try JSONDecoder().decode(JSONValue.self, from: encoder.encode(self)).objectValue ?? [:]
        var timings: [String: JSONValue] = [:]
        for stage in stages {
            let earlier = timings[stage.stage.rawValue]?.numberValue ?? 0
            timings[stage.stage.rawValue] = .number(((earlier + stage.seconds) * 1000).rounded() / 1000)
        }
        fields["timings"] = .object(timings)
        fields["stages"] = nil
        return fields
    }
}
