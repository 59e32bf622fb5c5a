import { CharCnnClassifier } from "./char-cnn-classifier.ts";
import { pipelineConfigSchema } from "./config.ts";
import { PipelineFailure } from "./failure.ts";
import { LacTagger } from "./lac-tagger.ts";
import type { Pipeline, PipelineFiles, Session } from "./pipeline.ts";
import { problemWithContract } from "./tensor-signature.ts";
import { TensorPipeline } from "./tensor.ts";

/**
 * The pipeline that the model's `pipeline.json` names.
 * @throws PipelineFailure for a kind or a form that this agent does not know
 */
export async function createPipeline(session: Session, files: PipelineFiles): Promise<Pipeline> {
  const parsed = pipelineConfigSchema.safeParse(files.config);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new PipelineFailure(
      "ModelLoadFailed",
      `pipeline.json is not one that this agent can run: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`,
      { final: true, cause: parsed.error },
    );
  }
  const config = parsed.data;
  switch (config.kind) {
    case "tensor": {
      const problem = session.signature && problemWithContract(config, session.signature);
      if (problem !== undefined) throw new PipelineFailure("ModelLoadFailed", problem, { final: true });
      return new TensorPipeline(session, config);
    }
    case "char-cnn-classifier":
      return new CharCnnClassifier(session, config);
    case "lac-tagger":
      return new LacTagger(session, config, files.contextLength);
    case "spacy-ner": {
      const { SpacyNer } = await import("./spacy-ner.ts");
      return new SpacyNer(session, config, files.contextLength);
    }
    case "gate-features": {
      const { GateFeatures } = await import("./gate-features.ts");
      return new GateFeatures(session, config);
    }
    case "ocr": {
      const { Ocr } = await import("./ocr.ts");
      return Ocr.create(session, config, files);
    }
    case "image-classifier": {
      const { ImageClassifier } = await import("./image-classifier.ts");
      return ImageClassifier.create(session, config);
    }
    case "dual-tower": {
      const { DualTower } = await import("./dual-tower.ts");
      return DualTower.create(session, config, files);
    }
    case "detector": {
      const { Detector } = await import("./detector.ts");
      return Detector.create(session, config);
    }
    case "ctc-speech": {
      const { CtcSpeech } = await import("./ctc-speech.ts");
      return new CtcSpeech(session, config);
    }
    case "kv-decoder": {
      // Tokenizer and template engine are 20 MB that the other processes do without.
      const [{ KvDecoder }, { PromptedDecoder }] = await Promise.all([
        import("./kv-decoder.ts"),
        import("./prompted-decoder.ts"),
      ]);
      return new PromptedDecoder(await KvDecoder.create(session, config, files));
    }
    case "text-encoder": {
      const { TextEncoder } = await import("./text-encoder.ts");
      return TextEncoder.create(session, config, files);
    }
    case "text-encoder-classifier": {
      const { TextEncoderClassifier } = await import("./text-encoder-classifier.ts");
      return TextEncoderClassifier.create(session, config, files);
    }
    default:
      throw new PipelineFailure(
        "ModelLoadFailed",
        `unknown pipeline ${JSON.stringify(config satisfies never)}`,
      );
  }
}
