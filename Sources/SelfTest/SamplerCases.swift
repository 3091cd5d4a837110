import Sampling

/// `sampler`: the schedule table, and updates from given velocities and noise.
enum SamplerCases {
    static func run(_ section: Section, _ note: (SelfTest.Line) -> Void) throws {
        for record in try section.root["schedule"].array {
            let steps = try record["num_steps"].int
            let sigma = try record["sigma_max"].double
            note(section.line("schedule_\(steps)_steps_sigma_\(sigma)") { try compareSchedule(record, steps, sigma) })
        }
        try section.eachCase(note) { record, _ in try compareUpdates(section, record) }
    }

    private static func compareSchedule(_ record: Record, _ steps: Int, _ sigma: Double) throws -> [Measurement] {
        let schedule = try Schedule(steps: steps, sigmaMax: sigma)
        // A float64 table: what a few roundings in the last place make.
        let exact = 1e-15
        var measurements = [
            Measurement(
                what: "trigflow", error: relativeL2(schedule.angles, try record["trigflow"].doubles), limit: exact,
                measure: "rel L2"),
            Measurement(
                what: "t_steps", error: relativeL2(schedule.times, try record["t_steps"].doubles), limit: exact,
                measure: "rel L2"),
            // Stated in float64 for a float32 time; float32 here.
            Measurement(
                what: "net_timestep",
                error: relativeL2(
                    (0..<steps).map { Double(schedule.timestep($0)) }, try record["net_timestep"].doubles),
                limit: 1e-7, measure: "rel L2"),
            differing(
                "net_timestep_bf16", (0..<steps).map { Double(schedule.roundedTimestep($0)) },
                try record["net_timestep_bf16"].doubles),
        ]
        let prefix = "expert_boundary_"
        for key in record.keys where key.hasPrefix(prefix) {
            let text = key.dropFirst(prefix.count).split(separator: "_").joined(separator: ".")
            guard let boundary = Double(text) else { throw CaseError("\(key) names no boundary") }
            let names = schedule.experts(boundary: boundary).map { $0 == .highNoise ? "high" : "low" }
            measurements.append(differing(key, names, try record[key].strings))
        }
        return measurements
    }

    private static func differing<T: Equatable>(_ what: String, _ found: [T], _ expected: [T]) -> Measurement {
        let wrong = found.count == expected.count ? zip(found, expected).count { $0 != $1 } : max(expected.count, 1)
        return Measurement(what: what, error: Double(wrong), limit: 0, measure: "differing")
    }

    private static func compareUpdates(_ section: Section, _ record: Record) throws -> [Measurement] {
        let file = try record["file"].string
        let schedule = try Schedule(steps: try record["num_steps"].int, sigmaMax: try record["sigma_max"].double)
        let tolerance = try Section.leadingNumber(try record["tolerance"].string, after: "rel L2")
        var measurements: [Measurement] = []
        for kind in SamplerKind.allCases {
            let prefix = kind.rawValue
            func compare(_ name: String, _ state: [Double]) throws {
                let expected = try section.tensor(name, in: file).doubles()
                measurements.append(
                    Measurement(what: name, error: relativeL2(state, expected), limit: tolerance, measure: "rel L2"))
            }
            var sampler = Sampler(
                schedule: schedule, kind: kind, noise: try section.tensor("init_noise", in: file).floats())
            try compare("\(prefix)_x0", sampler.state)
            for step in 0..<schedule.stepCount {
                sampler.advance(
                    velocity: try section.tensor("v\(step)", in: file).floats(),
                    noise: kind == .sde ? try section.tensor("noise\(step)", in: file).floats() : [])
                try compare("\(prefix)_x\(step + 1)", sampler.state)
            }
            try compare("\(prefix)_sample", sampler.networkInput.map(Double.init))
        }
        return measurements
    }
}
