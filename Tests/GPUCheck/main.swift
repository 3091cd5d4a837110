import CUDABackend
import Foundation
import OperationChecks
import Tensors

// Usage: dropreel-gpu-check [checks|times] [operation]
//
// Checks every operation of the CUDA backend in float32 and in bf16, and times the large ones at the sizes of the 1.3B
// model at 480p. For a host with a GPU that has neither Swift nor the media libraries.

/// Unbuffered: what was found before a crash must be seen.
func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

let arguments = CommandLine.arguments.dropFirst()
let mode = arguments.first ?? "checks"
let only = arguments.dropFirst().first ?? ""

do {
    if mode == "checks" {
        var failed = 0
        for precision in [DType.f32, .bf16] {
            let backend = try CUDABackend(precision: precision)
            say(
                "\(backend.deviceDescription), \(precision); \(backend.compilation.files) kernel files compiled in "
                    + String(format: "%.1f s", backend.compilation.seconds))
            let counts = OperationChecks.run(on: backend, only: only) { say("\(precision) \($0)") }
            say("\(precision): \(counts.passed) passed, \(counts.failed) failed")
            failed += counts.failed
        }
        exit(failed == 0 ? 0 : 1)
    } else {
        try KernelTimes(CUDABackend()).run(only)
    }
} catch {
    say("error: \(error)")
    exit(1)
}
