import Generation
import Media
import Rules
import Sampling
import WatchFolder

extension GenerationRequest {
    /// What a job's settings ask of the engine.
    init(_ settings: JobSettings, prompt: String, image: RGBImage?, seed: UInt64) {
        var size = FrameSize(width: settings.size.width, height: settings.size.height)
        if let image, settings.adaptiveResolution.value {
            size = adaptiveSize(image: FrameSize(width: image.width, height: image.height), base: size)
        }
        self.init(
            model: settings.model.value, prompt: prompt, image: image, size: size, frameCount: settings.frames.value,
            framesPerSecond: settings.fps.value, steps: settings.steps.value, seed: seed,
            sampler: settings.sampler.value == .ode ? .ode : .sde, sigmaMax: settings.sigmaMax.value,
            boundary: settings.boundary.value,
            exactFirstFrame: settings.exactFirstFrame.value && image != nil,
            attention: AttentionChoice(settings.attention.value), slaTopK: settings.slaTopK.value,
            linearPrecision: settings.quantLinear.value ? .int8 : .float,
            crf: settings.crf.value)
        mayQuantize = [.standard, .model(settings.model.value)].contains(settings.quantLinear.origin)
    }

    var videoSettings: VideoSettings {
        VideoSettings(width: size.width, height: size.height, frameRate: FrameRate(Int32(framesPerSecond)), crf: crf)
    }
}

extension AttentionChoice {
    init(_ kind: AttentionKind) {
        switch kind {
        case .original: self = .original
        case .sla: self = .sla
        case .sagesla: self = .sagesla
        }
    }
}

extension AttentionKind {
    init(_ choice: AttentionChoice) {
        switch choice {
        case .original: self = .original
        case .sla: self = .sla
        case .sagesla: self = .sagesla
        }
    }
}

extension RenderProgress {
    init(_ progress: GenerationProgress) {
        self.init(
            stage: progress.stage.rawValue, step: progress.step, stepCount: progress.stepCount,
            fraction: progress.fraction, secondsLeft: progress.secondsLeft)
    }
}

extension NoiseDevice {
    /// The GPU whose stream of noise the configuration asks for.
    init(_ engine: ServiceConfiguration.Engine) {
        self.init(multiprocessors: engine.noiseMultiprocessors, threadsPerMultiprocessor: engine.noiseThreads)
    }
}
