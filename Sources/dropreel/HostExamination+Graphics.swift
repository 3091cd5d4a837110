import CUDABackend
import CUDADriver
import Foundation
import Generation

extension HostExamination {
    /// The driver, each GPU, and the libraries that the CUDA backend opens.
    var graphics: [HostFinding] {
        let isWanted = configuration.engine.backend == .cuda
        // What is not there is a fault only where it was asked for.
        let absent: HostFinding.Verdict = isWanted ? .missing : .note
        func finding(_ subject: String, _ error: any Error) -> HostFinding {
            let known = error as? CUDAError
            return HostFinding(
                verdict: absent, subject: subject, text: known?.message ?? String(describing: error), hint: known?.hint)
        }
        let driver: CUDADriver
        do { driver = try CUDADriver() } catch {
            var absence = finding("GPU", error)
            absence.text += "; films are made on the CPU"
            return [absence]
        }
        var findings = [
            HostFinding(
                verdict: .ok, subject: "GPU driver", text: "\(driver.path), for CUDA \(driver.version)")
        ]
        do {
            let devices = try driver.devices()
            for device in devices {
                let text =
                    "\(device.name), \(MemoryEstimate.text(device.memoryBytes)), compute capability "
                    + "\(device.major).\(device.minor)"
                let isChosen = device.ordinal == configuration.engine.device
                findings.append(
                    HostFinding(
                        verdict: device.isSupported ? .ok : isChosen ? absent : .note,
                        subject: "GPU \(device.ordinal)",
                        text: device.isSupported ? text : text + ": too old for this program",
                        hint: device.isSupported ? nil : "8.0 (Ampere) or later is needed"))
            }
            if !devices.indices.contains(configuration.engine.device) {
                findings.append(
                    HostFinding(
                        verdict: absent, subject: "GPU \(configuration.engine.device)", text: "not there",
                        hint: "engine.device counts from 0; CUDA_VISIBLE_DEVICES may hide GPUs"))
            }
        } catch {
            findings.append(finding("GPU", error))
        }
        do {
            let compiler = try KernelCompiler()
            findings.append(
                HostFinding(verdict: .ok, subject: "kernel compiler", text: "\(compiler.path), \(compiler.version)"))
        } catch {
            var absence = finding("kernel compiler", error)
            absence.text += "; without it a GPU cannot be used"
            findings.append(absence)
        }
        do {
            findings.append(
                HostFinding(verdict: .ok, subject: "matrix products", text: try MatrixProducts.location()))
        } catch {
            let known = error as? CUDAError
            findings.append(
                HostFinding(
                    verdict: .note, subject: "matrix products",
                    text: "\(known?.message ?? String(describing: error)); slower kernels of this program do its work",
                    hint: known?.hint))
        }
        if let folder = EngineFactory.kernelCache(configuration).folder {
            findings.append(HostFinding(verdict: .ok, subject: "kernel cache", text: folder.path))
        }
        if let proof = EngineFactory.proof(configuration) { findings.append(proving(proof)) }
        return findings
    }

    /// Proven anew: the card, its driver or its neighbours may have changed in ways that nothing names.
    private func proving(_ proof: GPUProof) -> HostFinding {
        switch proof.prove() {
        case .passed:
            HostFinding(
                verdict: .ok, subject: "GPU \(proof.device)", text: "every operation is right there: auto takes it")
        case .failed(let reason):
            HostFinding(
                verdict: .note, subject: "GPU \(proof.device)", text: "auto leaves it: \(reason)",
                hint:
                    "dropreel selftest --operations --backend cuda says more; docs/operations.md names what can be left out"
            )
        case .unknown:
            HostFinding(verdict: .note, subject: "GPU \(proof.device)", text: "not proven")
        }
    }
}
