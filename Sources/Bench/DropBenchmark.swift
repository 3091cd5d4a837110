import Checkpoints
import Foundation
import Generation

/// From a prompt in the inbox to its film in the outbox, through the service itself and real files: Wan2.1-1.3B, umT5-XXL and
/// the VAE with random weights, 81 frames of 832 x 480.
///
/// The decoder's weights blur, so that the frames are as smooth as photographs and H.264 has what it has with films. From
/// acceptance on, without the seconds that an input must have lain still.
public struct DropBenchmark {
    public typealias Row = GPUBenchmark.Row

    let program: URL
    let tokenizer: URL
    let folder: URL
    /// Where the weights are.
    let models: URL
    let device: Int
    let repetitions: Int

    /// - Parameters:
    ///   - program: this program.
    ///   - tokenizer: the tokenizer's folder, of any model.
    ///   - scratch: gets 14 GB of weights, removed afterwards. The service's own folders are where temporary files belong: on
    ///     a disk.
    public init(program: URL, tokenizer: URL, scratch: URL, device: Int, repetitions: Int) {
        (self.program, self.tokenizer, self.device) = (program, tokenizer, device)
        self.repetitions = max(1, repetitions)
        let name = "dropreel-drop-\(ProcessInfo.processInfo.processIdentifier)"
        folder = FileManager.default.temporaryDirectory.appending(path: name)
        models = scratch.appending(path: name + "-models")
    }

    /// What a film was asked for, and what that is called.
    private static let kinds = [
        ("bf16 linears, SLA 10 %", "quant_linear = false\nattention = sla\n"),
        ("eight bits, SageSLA 10 %", "quant_linear = true\nattention = sagesla\n"),
    ]

    /// - Parameters:
    ///   - kernels: where compiled kernels are kept.
    ///   - report: called with each row as it is measured.
    public func run(kernels: URL?, report: (Row) -> Void) throws -> [Row] {
        defer { for place in [folder, models] { try? FileManager.default.removeItem(at: place) } }
        try prepare(kernels: kernels)
        var rows: [Row] = []
        func add(_ name: String, _ seconds: [Double], note: String, goal: Double) {
            let sorted = seconds.sorted()
            var row = Row(
                name: name + note, seconds: sorted[sorted.count / 2], fastest: sorted[0],
                slowest: sorted[sorted.count - 1], peakBytes: 0)
            row.goal = goal
            rows.append(row)
            report(row)
        }
        let service = try DropService(program: program, folder: folder)
        defer { service.stop() }
        // The first film waits for the digests of the weights, which are kept from then on.
        _ = try service.film("first", settings: Self.kinds[0].1)
        for (name, settings) in Self.kinds {
            _ = try service.film("warm", settings: settings)
            let films = try (0..<repetitions).map { try service.film("film \($0)", settings: settings) }
            add(
                "1.3B 480p, from accepted drop to published MP4, warm, \(name)", films.map(\.seconds),
                note: " (\(films[films.count - 1].stages))", goal: 1.9)
        }
        service.stop()
        let cold = try (0..<2).map { try coldStart($0) }
        add(
            "1.3B 480p, from the program's start to the film, weights in the page cache", cold.map(\.seconds),
            note: " (\(cold[cold.count - 1].stages))", goal: 8)
        return rows
    }

    /// A film by a fresh process.
    private func coldStart(_ number: Int) throws -> DropService.Film {
        let film = folder.appending(path: "cold\(number).mp4")
        let process = Process()
        process.executableURL = program
        process.arguments = [
            "generate", "A green train passes.", "--config", folder.appending(path: "etc/dropreel.toml").path,
            "--set", "quant_linear=true", "--set", "attention=sagesla", "-o", film.path,
        ]
        (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
        let start = ContinuousClock.now
        try process.run()
        process.waitUntilExit()
        let seconds = Stopwatch.seconds(since: start)
        guard process.terminationStatus == 0 else { throw DropService.Failure("a cold start made no film") }
        return DropService.Film(
            seconds: seconds, record: film.deletingPathExtension().appendingPathExtension("json"))
    }

    // MARK: Files

    private func prepare(kernels: URL?) throws {
        let files = FileManager.default
        let model = models.appending(path: "random")
        for name in ["inbox", "outbox", "rules", "state", "etc"] {
            try files.createDirectory(at: folder.appending(path: name), withIntermediateDirectories: true)
        }
        try files.createDirectory(at: model, withIntermediateDirectories: true)
        try files.copyItem(at: tokenizer, to: model.appending(path: "tokenizer"))
        if let kernels, files.fileExists(atPath: kernels.path) {
            try files.createSymbolicLink(
                at: folder.appending(path: "state/kernels"), withDestinationURL: kernels)
        }
        try Self.manifest.write(to: model.appending(path: "model.json"), atomically: true, encoding: .utf8)
        let settings = """
            root = "\(folder.path)"
            [models]
            directories = ["\(models.path)"]
            [engine]
            backend = cuda
            device = \(device)
            [intake]
            quiet_period = 0.1 s
            quiet_period_without_lease = 0.1 s
            """
        try settings.write(to: folder.appending(path: "etc/dropreel.toml"), atomically: true, encoding: .utf8)
        let checkpoints = [
            ("t2v", Self.transformer), ("text_encoder", TextEncoderLayout.entries(dtype: .bf16)),
            ("vae", VAELayout.entries(base: 96, dtype: .bf16)),
        ]
        for (name, entries) in checkpoints {
            try RandomCheckpoint.write(
                entries, to: model.appending(path: name + ".safetensors").path, isLasting: false
            ) { SmoothDecoder.weights(of: $0) }
        }
    }

    private static var transformer: [SafetensorsWriter.Entry] {
        TransformerLayout.entries(
            dim: 1536, inputChannels: 16, feedForwardDim: 8960, layerCount: 30, textDim: 4096, sparseLinear: true,
            dtype: .bf16)
    }

    private static let manifest = """
        {"name": "Random-1.3B", "version": "made up", "modes": {"t2v": {"transformer": "t2v.safetensors"}},
         "vae": "vae.safetensors", "text_encoder": "text_encoder.safetensors", "tokenizer": "tokenizer",
         "resolutions": {"480p": {"16:9": [832, 480]}}, "default_resolution": "480p",
         "frames": {"default": 81, "minimum": 5, "maximum": 161}, "fps": 16,
         "defaults": {"attention": "sla", "sla_topk": 0.1, "steps": 4}}
        """
}

/// Convolutions of a decoder that mix channels at random and blur what they mix.
enum SmoothDecoder {
    /// bf16; nil for tensors that are not such convolutions.
    static func weights(of entry: SafetensorsWriter.Entry) -> [UInt16]? {
        let shape = entry.shape
        guard entry.name.hasPrefix("decoder"), shape.count >= 4, shape[shape.count - 1] == 3 else { return nil }
        let (row, frames): ([Float], [Float]) = (
            [0.25, 0.5, 0.25], shape.count == 5 && shape[2] == 3 ? [0.25, 0.25, 0.5] : [1]
        )
        let kernel = frames.flatMap { frame in row.flatMap { y in row.map { x in frame * y * x } } }
        let mix = WeightDistribution(
            of: SafetensorsWriter.Entry(name: "mix.weight", shape: [shape[0], shape[1]], dtype: .bf16)
        ).values(shape[0] * shape[1])
        return mix.flatMap { value in kernel.map { UInt16((value * $0).bitPattern >> 16) } }
    }
}
