import Sampling

/// `noise`: known answers of both generators, and torch's normal values for seeds.
enum NoiseCases {
    static func run(_ section: Section, _ note: (SelfTest.Line) -> Void) throws {
        for (index, record) in (try section.root.optional("philox_known_answers")?.array ?? []).enumerated() {
            note(
                section.line("philox_known_answer_\(index)") {
                    func words(_ key: String, _ count: Int) throws -> [UInt32] {
                        let values = try record[key].ints.compactMap { UInt32(exactly: $0) }
                        guard values.count == count else { throw CaseError("\(key) is not \(count) words") }
                        return values
                    }
                    let (counter, key) = (try words("counter", 4), try words("key", 2))
                    let found = Philox.block(counter: SIMD4(counter), key: SIMD2(key))
                    let expected = try words("out", 4)
                    return [differing("words", (0..<4).map { found[$0] }, expected)]
                })
        }
        if let record = section.root.optional("mt19937_check") {
            note(section.line("mt19937_check") { try checkTwister(record) })
        }
        try section.eachCase(note) { record, _ in
            let file = try record["file"].string
            switch try record["generator"].string {
            case "mt19937": return try compareHost(section, record, file)
            case "Philox4x32-10": return try compareCUDA(section, record, file)
            case let other: throw CaseError("unknown generator \(other)")
            }
        }
    }

    private static func differing<T: Equatable>(_ what: String, _ found: [T], _ expected: [T]) -> Measurement {
        let wrong = found.count == expected.count ? zip(found, expected).count { $0 != $1 } : max(expected.count, 1)
        return Measurement(what: what, error: Double(wrong), limit: 0, measure: "differing")
    }

    private static func checkTwister(_ record: Record) throws -> [Measurement] {
        let seed = try record["seed"].unsigned
        var measurements: [Measurement] = []
        for key in record.keys where key != "seed" {
            let expected = try record[key].doubles
            if key.hasPrefix("rand_first") {
                var noise = HostNoise(seed: seed)
                measurements.append(differing(key, expected.map { _ in noise.uniform() }, expected.map { Float($0) }))
            } else if key.hasPrefix("randint_0_2pow32") {
                // torch draws 64 bits for a range this large and takes the remainder: the low half.
                var generator = MersenneTwister(seed: UInt32(truncatingIfNeeded: seed))
                let found = expected.map { _ in Double(UInt32(truncatingIfNeeded: generator.next64())) }
                measurements.append(differing(key, found, expected))
            } else {
                throw CaseError("unknown check \(key)")
            }
        }
        return measurements
    }

    private static func compareHost(_ section: Section, _ record: Record, _ file: String) throws -> [Measurement] {
        let count = try record["shape"].ints.reduce(1, *)
        let tolerance = try record["tol_abs"].double
        var noise = HostNoise(seed: try record["seed"].unsigned)
        return try record["expected"].strings.map { name in
            let expected = try section.tensor(name, in: file).floats()
            return Measurement(
                what: name, error: maximumDifference(noise.draw(count), expected), limit: tolerance, measure: "max abs")
        }
    }

    private static func compareCUDA(_ section: Section, _ record: Record, _ file: String) throws -> [Measurement] {
        let count = try record["numel"].int
        let tolerance = try record["tol_abs"].double
        let device = NoiseDevice(
            multiprocessors: try record["sm_count"].int, threadsPerMultiprocessor: try record["max_threads_per_sm"].int)
        var noise = CUDANoise(seed: try record["seed"].unsigned, device: device)
        let isSampled = try record.optional("sampled")?.bool ?? false
        let indices = isSampled ? try section.tensor("index", in: file).ints() : nil
        var measurements: [Measurement] = []
        if let threads = record.optional("threads_T") {
            measurements.append(differing("threads", [noise.threads(for: count)], [try threads.int]))
        }
        for (call, name) in try record["expected"].strings.enumerated() {
            let expected = try section.tensor(name, in: file).floats()
            let all = noise.draw(count)
            if let indices, indices.contains(where: { !all.indices.contains($0) }) {
                throw CaseError("\(file): an index is outside the \(count) values")
            }
            let found = indices.map { $0.map { all[$0] } } ?? all
            measurements.append(
                Measurement(what: name, error: maximumDifference(found, expected), limit: tolerance, measure: "max abs")
            )
            if call == 0, let offset = record.optional("philox_offset_after_first") {
                measurements.append(differing("offset", [noise.offset], [try offset.unsigned]))
            }
        }
        return measurements
    }
}
