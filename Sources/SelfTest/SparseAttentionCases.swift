import Foundation
import Tensors

/// `sla` and `sagesla`: sparse-linear attention alone, and the table of how many blocks are chosen.
enum SparseAttentionCases {
    static func run(_ section: Section, _ note: (SelfTest.Line) -> Void) throws {
        if FileManager.default.fileExists(atPath: section.url("topk_count.json").path) {
            note(section.line("topk_count") { try compareCounts(section) })
        }
        try section.eachCase(note) { record, _ in
            let inputs = try Inputs(section, record)
            return section.kind == "sagesla"
                ? try quantized(section, record, inputs) : try plain(section, record, inputs)
        }
    }

    private static func compareCounts(_ section: Section) throws -> [Measurement] {
        let rows = try Record(file: section.url("topk_count.json"))["rows"].array
        let wrong = try rows.count { row in
            let values = try row.doubles
            guard values.count == 3 else { throw CaseError("\(row.path) is not (blocks, ratio, count)") }
            // Where upstream would choose none and divide by zero, one block is taken.
            let expected = max(1, Int(values[2]))
            return SparseAttentionOptions(topK: values[1]).selectedBlocks(of: Int(values[0])) != expected
        }
        guard !rows.isEmpty else { throw CaseError("topk_count.json has no rows") }
        return [Measurement(what: "\(rows.count) counts", error: Double(wrong), limit: 0, measure: "differing")]
    }

    /// A case's tensors on the backend, one attention for each item of the batch.
    private struct Inputs {
        let options: SparseAttentionOptions
        let queries: [Tensor]
        let keys: [Tensor]
        let values: [Tensor]
        let projection: any Linear
        let tokens: Int
        let heads: Int
        let rowStep: Int

        init(_ section: Section, _ record: Record) throws {
            let (config, file) = (try record["config"], try record["inputs_file"].string)
            let backend = section.backend
            (tokens, heads) = (try config["L"].int, try config["heads"].int)
            rowStep = try record.optional("row_step")?.int ?? 1
            options = SparseAttentionOptions(
                topK: try config["topk_ratio"].double, queryBlock: try config["BLKQ"].int,
                keyBlock: try config["BLKK"].int, quantized: section.kind == "sagesla")
            let shape = [try config["B"].int, heads, tokens, try config["head_dim"].int]
            func load(_ name: String) throws -> [Tensor] {
                let tensor = try section.tensor(name, in: file)
                guard tensor.shape == shape else { throw CaseError("\(file): \(name) has shape \(tensor.shape)") }
                return try (0..<shape[0]).map { item in
                    let rows = Inputs.headsInside(tensor.floats(item: item), heads: shape[1], tokens: shape[2])
                    return try backend.upload(
                        HostTensor(shape: [shape[2], shape[1], shape[3]], values: rows), as: backend.activationType)
                }
            }
            (queries, keys, values) = (try load("q"), try load("k"), try load("v"))
            projection = try backend.makeLinear(
                .dense(
                    weight: section.tensor("proj_l_weight", in: file), bias: section.tensor("proj_l_bias", in: file)),
                precision: .stored)
        }

        /// `[heads, tokens, dim]` -> `[tokens, heads, dim]`.
        static func headsInside(_ values: [Float], heads: Int, tokens: Int) -> [Float] {
            let dim = values.count / heads / tokens
            var result = [Float](repeating: 0, count: values.count)
            for head in 0..<heads {
                for token in 0..<tokens {
                    for i in 0..<dim {
                        result[(token * heads + head) * dim + i] = values[(head * tokens + token) * dim + i]
                    }
                }
            }
            return result
        }

        /// Runs every item; outputs `[B, heads, kept tokens, dim]` and chosen blocks `[B, heads, query blocks, n]`.
        func run(_ section: Section, _ projection: (any Linear)?) throws -> (output: [Float], blocks: [Float]) {
            let backend = section.backend
            let queryBlocks = (tokens + options.queryBlock - 1) / options.queryBlock
            let keyBlocks = (tokens + options.keyBlock - 1) / options.keyBlock
            let chosen = try backend.allocate([heads, queryBlocks, options.selectedBlocks(of: keyBlocks)], .i32)
            var (outputs, blocks): ([Float], [Float]) = ([], [])
            for item in queries.indices {
                let output = try backend.allocate(queries[item].shape, backend.activationType)
                backend.sparseLinearAttention(
                    q: queries[item], k: keys[item], v: values[item], projection: projection, options: options,
                    blocks: chosen, into: output)
                let rows = backend.download(output)
                let dim = output.shape[2]
                for head in 0..<heads {
                    for token in stride(from: 0, to: tokens, by: rowStep) {
                        let start = (token * heads + head) * dim
                        outputs += rows[start..<start + dim]
                    }
                }
                blocks += backend.download(chosen)
            }
            return (outputs, blocks)
        }
    }

    private static func plain(_ section: Section, _ record: Record, _ inputs: Inputs) throws -> [Measurement] {
        let file = try record["file"].string
        let tolerance = try section.tolerance(record)
        let (output, blocks) = try inputs.run(section, inputs.projection)
        let sparse = try inputs.run(section, nil).output
        func compare(_ what: String, _ found: [Float], _ expected: [Float]) -> Measurement {
            Measurement(what: what, error: relativeL2(found, expected), limit: tolerance, measure: "rel L2")
        }
        var measurements = try record["expected"].strings.map { name in
            let expected = try section.tensor(name, in: file).floats()
            switch name {
            case "block_index": return differing(blocks, expected)
            case "o": return compare(name, output, expected)
            case "o_s": return compare(name, sparse, expected)
            default: throw CaseError("unknown expected tensor \(name)")
            }
        }
        if let linear = record.optional("linear_file") {
            // The file's o_l is the linear branch after its projection: what it adds to o_s.
            let expected = try section.tensor("o_l", in: linear.string).floats()
            // In bf16 the difference of two rounded sums says nothing about the smaller part.
            if section.computesInFloat32 {
                measurements.append(compare("o_l", zip(output, sparse).map { $0 - $1 }, expected))
            }
        }
        return measurements
    }

    private static func quantized(_ section: Section, _ record: Record, _ inputs: Inputs) throws -> [Measurement] {
        let file = try record["file"].string
        let tolerance = try record["tolerance"]["o_s_rel_l2"].double
        let exact = try record["tolerance"]["o_vs_exact_rel_l2"].double
        let measuredLoss = try record.optional("gpu_h100")?.optional("o")?.double
        let (output, blocks) = try inputs.run(section, inputs.projection)
        let sparse = try inputs.run(section, nil).output
        func compare(_ name: String, _ found: [Float], _ limit: Double) throws -> Measurement {
            let expected = try section.tensor(name, in: file).floats()
            return Measurement(what: name, error: relativeL2(found, expected), limit: limit, measure: "rel L2")
        }
        // The reference keeps two ways of rounding k: as upstream does it (bf16), and without that.
        let measured = section.computesInFloat32 ? "o_s_f32" : "o_s_upstream"
        var measurements = [
            differing(blocks, try section.tensor("block_index", in: file).floats()),
            try compare(measured, sparse, tolerance),
            // In bf16 the sum of both parts is rounded: no further off than the reference's own kernel is.
            try compare("o", output, section.computesInFloat32 ? tolerance : max(tolerance, measuredLoss ?? 0)),
        ]
        if try section.file(file).names.contains("o_s_exact") {
            measurements.append(try compare("o_s_exact", sparse, exact))
        }
        for gpu in try record.optional("gpu_h100")?.optional("tensors")?.strings ?? [] {
            let gpuFile = try record["gpu_h100"]["file"].string
            let isSparse = gpu.hasSuffix("_s")
            measurements.append(
                Measurement(
                    what: gpu,
                    error: relativeL2(isSparse ? sparse : output, try section.tensor(gpu, in: gpuFile).floats()),
                    limit: try record["tolerance"]["o_s_rel_l2_if_other_softmax_order"].double, measure: "rel L2"))
        }
        return measurements
    }

    private static func differing(_ found: [Float], _ expected: [Float]) -> Measurement {
        let wrong = found.count == expected.count ? zip(found, expected).count { $0 != $1 } : expected.count
        return Measurement(what: "block_index", error: Double(wrong), limit: 0, measure: "differing")
    }
}
