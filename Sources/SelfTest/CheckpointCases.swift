import Checkpoints
import Sampling
import Tensors
import Wan

/// `checkpoints`: one network in every container and naming, and a pickle full of odd tensors.
enum CheckpointCases {
    static func run(_ section: Section, _ note: (SelfTest.Line) -> Void) throws {
        try section.eachCase(note) { record, _ in
            record.has("expected_file") ? try compareTensors(section, record) : try compareForward(section, record)
        }
    }

    private static func compareForward(_ section: Section, _ record: Record) throws -> [Measurement] {
        let (path, inputs) = (try record["file"].string, try record["inputs_file"].string)
        let checkpoint = try section.file(path)
        var measurements = try record.optional("tensors").map { [try compareLayouts(checkpoint, $0)] } ?? []
        let weights = try canonicalTransformer(checkpoint)
        let config = try record.optional("config") ?? section.root["config"]
        let transformer = try Transformer(
            WeightReader(weights.tensors, backend: section.backend, source: path),
            configuration: TransformerCases.configuration(config, weights.layout))
        let expectedName = try record["expected"].string
        let pass = try TransformerCases.Pass(section, transformer, file: inputs, item: 0)
        if let timestep = record.optional("timestep"), try Float(timestep.double) != pass.timestep {
            throw CaseError("timestep \(try timestep.double) in the case and \(pass.timestep) in \(inputs)")
        }
        let found = try transformer.velocity(
            latents: pass.latents, timestep: pass.timestep, text: pass.text,
            attention: try attention(section, record, expectedName), workspace: pass.workspace)
        let expected = try section.tensor(expectedName, in: inputs).floats()
        measurements.append(
            Measurement(
                what: expectedName, error: relativeL2(found, expected), limit: try section.tolerance(record),
                measure: "rel L2"))
        return measurements + (try section.gpuMeasurements(record, found: found))
    }

    /// A case without `sla` whose expected tensor is of the same sparse attention as another's takes that one's.
    private static func attention(_ section: Section, _ record: Record, _ expected: String) throws -> AttentionKind {
        if record.has("sla") || !expected.contains("sla_") { return try TransformerCases.attention(record) }
        let suffix = String(expected[expected.range(of: "sla_")!.lowerBound...])
        let sibling = try section.root["cases"].array.first {
            try $0.has("sla") && $0["expected"].string.hasSuffix(suffix)
        }
        if let sibling { return try TransformerCases.attention(sibling) }
        // The name alone: sla_topk0_5 is a ratio of 0.5 with blocks of the standard size.
        let digits = suffix.dropFirst("sla_topk".count).split(separator: "_").joined(separator: ".")
        guard suffix.hasPrefix("sla_topk"), let ratio = Double(digits) else {
            throw CaseError("no case says what \(suffix) is")
        }
        return .sparseLinear(SparseAttentionOptions(topK: ratio))
    }

    /// Types and shapes as the case lists them.
    private static func compareLayouts(_ checkpoint: Checkpoint, _ listed: Record) throws -> Measurement {
        let types: [String: DType] = [
            "float64": .f64, "float32": .f32, "float16": .f16, "bfloat16": .bf16, "int64": .i64, "int32": .i32,
            "int16": .i16, "int8": .i8, "uint8": .u8, "bool": .bool, "float8_e4m3fn": .f8e4m3,
        ]
        var wrong = Set(checkpoint.names).symmetricDifference(listed.keys).count
        for name in listed.keys {
            let (type, shape) = (try listed[name]["dtype"].string, try listed[name]["shape"].ints)
            guard let dtype = types[type] else { throw CaseError("unknown type \(type)") }
            if let layout = checkpoint.layout(name), layout.shape == shape, layout.dtype == dtype { continue }
            wrong += 1
        }
        return Measurement(what: "names, types and shapes", error: Double(wrong), limit: 0, measure: "differing")
    }

    /// Bit for bit.
    private static func compareTensors(_ section: Section, _ record: Record) throws -> [Measurement] {
        guard try record["tolerance"].string == "exact" else { throw CaseError("a tolerance other than exact") }
        let found = try section.file(record["file"].string)
        let expected = try section.file(record["expected_file"].string)
        let names = Set(found.names).union(expected.names)
        let wrong = names.count { name in
            guard let a = found.tensor(name), let b = expected.tensor(name) else { return true }
            return a.dtype != b.dtype || a.shape != b.shape || !a.bytes.elementsEqual(b.bytes)
        }
        return [Measurement(what: "\(names.count) tensors", error: Double(wrong), limit: 0, measure: "differing")]
    }
}
