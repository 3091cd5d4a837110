import CPUBackend
import Generation

/// Opens every file of a model and checks that they fit together, without loading weights.
enum ModelInspection {
    static func problems(of model: Model) -> [GenerationError] {
        let generator = Generator(
            library: ModelLibrary(directories: [model.folder]), backend: CPUBackend(threads: 1))
        return model.modes.compactMap { mode in
            do {
                _ = try estimate(model, mode, generator)
                return nil
            } catch let error as GenerationError {
                return error
            } catch {
                return GenerationError(.weights, String(describing: error), hint: "see dropreel models inspect FILE")
            }
        }
    }

    /// What the model's standard film of a mode takes in memory.
    static func estimate(_ model: Model, _ mode: GenerationMode, _ generator: Generator) throws -> MemoryEstimate {
        try generator.estimate(model.standardRequest(mode))
    }
}
