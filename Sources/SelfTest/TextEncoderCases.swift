import Checkpoints
import Tensors
import Wan

/// `umt5`: encodings under both namings, position buckets, and the inside of the first block.
enum TextEncoderCases {
    static func run(_ section: Section, _ note: (SelfTest.Line) -> Void) throws {
        let config = try section.root["config"]
        try section.eachCase(note) { record, _ in
            let file = try record["file"].string
            let names = try section.file(file).names
            if names.contains("bucket") { return try compareBuckets(section, record, config, file) }
            if names.contains("ids"), names.contains("mask") {
                return try record["weights"].oneOrMoreStrings.flatMap { path in
                    try compareEncoding(section, record, load(section, path, config), file, path)
                }
            }
            if names.contains("ids"), names.contains("embedding") {
                return try compareBlock(section, record, config, file)
            }
            throw CaseError("\(file) is of no known form")
        }
    }

    static func load(_ section: Section, _ path: String, _ config: Record) throws -> TextEncoder {
        let weights = try canonicalTextEncoder(section.file(path))
        var configuration = TextEncoderConfiguration(weights.layout)
        configuration.relativePositionDistance = try config["relative_attention_max_distance"].int
        configuration.epsilon = Float(try config["eps"].double)
        let stated = [
            ("vocab_size", configuration.vocabularySize), ("d_model", configuration.dim),
            ("d_kv", configuration.headDim), ("num_heads", configuration.headCount),
            ("num_layers", configuration.layerCount), ("d_ff", configuration.feedForwardDim),
            ("relative_attention_num_buckets", configuration.relativePositionBuckets),
        ]
        for (key, size) in stated where try config[key].int != size {
            throw CaseError("\(key) is \(try config[key].int) in the case and \(size) in \(path)")
        }
        return try TextEncoder(
            WeightReader(weights.tensors, backend: section.backend, source: path), configuration: configuration)
    }

    private static func compareEncoding(
        _ section: Section, _ record: Record, _ encoder: TextEncoder, _ file: String, _ path: String
    ) throws -> [Measurement] {
        let (ids, mask) = (try section.tensor("ids", in: file), try section.tensor("mask", in: file))
        let expected = try section.tensor("expected", in: file)
        guard ids.shape.count == 2, mask.shape == ids.shape, expected.shape.count == 3 else {
            throw CaseError("\(file): ids of shape \(ids.shape)")
        }
        let (length, rows, dim) = (ids.shape[1], expected.shape[1], encoder.configuration.dim)
        var found: [Float] = []
        for item in 0..<ids.shape[0] {
            let part = item * length..<(item + 1) * length
            let count = mask.ints()[part].count { $0 != 0 }
            if let stated = record.optional("true_lengths"), try stated.ints[item] != count {
                throw CaseError("\(try stated.ints[item]) true tokens stated, \(count) in the mask")
            }
            var encoded = try encoder.encode(ids.ints()[part].prefix(count).map { Int32($0) })
            encoded += [Float](repeating: 0, count: max(0, rows * dim - encoded.count))
            found += encoded.prefix(rows * dim)
        }
        return [
            Measurement(
                what: path, error: relativeL2(found, expected.floats()), limit: try section.tolerance(record),
                measure: "rel L2")
        ]
    }

    private static func compareBuckets(
        _ section: Section, _ record: Record, _ config: Record, _ file: String
    ) throws -> [Measurement] {
        let buckets = try config["relative_attention_num_buckets"].int
        let distance = try config["relative_attention_max_distance"].int
        let positions = try section.tensor("relative_position", in: file).ints()
        let expected = try section.tensor("bucket", in: file).ints()
        let found = positions.map { RelativePosition.bucket(of: $0, buckets: buckets, maximumDistance: distance) }
        let wrong = zip(found, expected).count { $0 != $1 } + abs(found.count - expected.count)
        return [Measurement(what: "buckets", error: Double(wrong), limit: 0, measure: "differing")]
    }

    /// The first block's stages; what a sub-layer adds is the difference of two of them.
    private static func compareBlock(
        _ section: Section, _ record: Record, _ config: Record, _ file: String
    ) throws -> [Measurement] {
        let sibling = try section.root["cases"].array.first { $0.has("weights") }
        guard let path = try (record.has("weights") ? record : sibling)?["weights"].oneOrMoreStrings.first else {
            throw CaseError("no case names weights")
        }
        let encoder = try load(section, path, config)
        var stages: [TextEncoderStage: [Float]] = [:]
        let ids = try section.tensor("ids", in: file).ints().map { Int32($0) }
        _ = try encoder.encode(ids) { stages[$0] = section.backend.download($1) }
        let tolerance = try section.tolerance(record)
        func stage(_ stage: TextEncoderStage) throws -> [Float] {
            guard let values = stages[stage] else { throw CaseError("\(stage) was never reached") }
            return values
        }
        func difference(_ a: TextEncoderStage, _ b: TextEncoderStage) throws -> [Float] {
            zip(try stage(a), try stage(b)).map { $0 - $1 }
        }
        return try section.file(file).names.compactMap { name in
            let found: [Float]
            switch name {
            case "ids", "gelu_in": return nil
            case "embedding": found = try stage(.embedding)
            case "norm1": found = try stage(.attentionNorm(0))
            case "attn": found = try difference(.attention(0), .embedding)
            case "after_attn": found = try stage(.attention(0))
            case "ffn": found = try difference(.block(0), .attention(0))
            case "after_block": found = try stage(.block(0))
            case "gelu_out":
                let values = try section.backend.upload(
                    section.tensor("gelu_in", in: file), as: section.backend.activationType)
                section.backend.activate(values, .geluTanh)
                found = section.backend.download(values)
            default: throw CaseError("\(file): unknown intermediate \(name)")
            }
            let expected = try section.tensor(name, in: file).floats()
            return Measurement(what: name, error: relativeL2(found, expected), limit: tolerance, measure: "rel L2")
        }
    }
}
