/* Hugging Face tensor names -> canonical names (audio.md 9.5, 10.1 to 10.3; backbone.md 7.3).
 * '#' in a pattern stands for one number, '*' at its end for any rest; both are carried over. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "engine/source.h"

typedef struct name_rule {
    const char *from, *to;
} name_rule;

/* The LFM2 stack below "lfm.", "model." or, in the detokenizer, "lfm.". */
static const name_rule stack_rules[] = {
    {"embed_tokens.weight", "token_embd.weight"},
    {"embedding_norm.weight", "token_embd_norm.weight"},
    {"layers.#.operator_norm.weight", "blk.#.attn_norm.weight"},
    {"layers.#.ffn_norm.weight", "blk.#.ffn_norm.weight"},
    {"layers.#.conv.in_proj.*", "blk.#.shortconv.in_proj.*"},
    {"layers.#.conv.conv.*", "blk.#.shortconv.conv.*"},
    {"layers.#.conv.out_proj.*", "blk.#.shortconv.out_proj.*"},
    {"layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight"},
    {"layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight"},
    {"layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight"},
    {"layers.#.self_attn.out_proj.weight", "blk.#.attn_output.weight"},
    {"layers.#.self_attn.q_layernorm.weight", "blk.#.attn_q_norm.weight"},
    {"layers.#.self_attn.k_layernorm.weight", "blk.#.attn_k_norm.weight"},
    /* Linear attention and state spaces of a `runnel_stack` (learn.md 6.10). */
    {"layers.#.self_attn.norm.weight", "blk.#.attn_sub_norm.weight"},
    {"layers.#.ssm.in_proj.weight", "blk.#.ssm_in.weight"},
    {"layers.#.ssm.conv.weight", "blk.#.ssm_conv1d.weight"},
    {"layers.#.ssm.dt_bias", "blk.#.ssm_dt.bias"},
    {"layers.#.ssm.A_log", "blk.#.ssm_a_log"},
    {"layers.#.ssm.D", "blk.#.ssm_d"},
    {"layers.#.ssm.norm.weight", "blk.#.ssm_norm.weight"},
    {"layers.#.ssm.out_proj.weight", "blk.#.ssm_out.weight"},
    {"layers.#.feed_forward.w1.weight", "blk.#.ffn_gate.weight"},
    {"layers.#.feed_forward.w3.weight", "blk.#.ffn_up.weight"},
    {"layers.#.feed_forward.w2.weight", "blk.#.ffn_down.weight"},
    {"layers.#.feed_forward.gate.weight", "blk.#.ffn_gate_inp.weight"},
    {"layers.#.feed_forward.expert_bias", "blk.#.exp_probs_b.bias"},
    /* Made into stacks by source_experts.c. */
    {"layers.#.feed_forward.experts.*", "experts.#.*"},
};

static const name_rule main_rules[] = {
    {"lm_head.weight", "output.weight"},
    {"conformer.pre_encode.conv.*", "a.conv1d.*"},
    {"conformer.pre_encode.out.*", "a.pre_encode.out.*"},
    {"conformer.layers.#.norm_feed_forward1.*", "a.blk.#.ffn_norm.*"},
    {"conformer.layers.#.feed_forward1.linear1.*", "a.blk.#.ffn_up.*"},
    {"conformer.layers.#.feed_forward1.linear2.*", "a.blk.#.ffn_down.*"},
    {"conformer.layers.#.norm_self_att.*", "a.blk.#.ln1.*"},
    {"conformer.layers.#.self_attn.linear_q.*", "a.blk.#.attn_q.*"},
    {"conformer.layers.#.self_attn.linear_k.*", "a.blk.#.attn_k.*"},
    {"conformer.layers.#.self_attn.linear_v.*", "a.blk.#.attn_v.*"},
    {"conformer.layers.#.self_attn.linear_out.*", "a.blk.#.attn_out.*"},
    {"conformer.layers.#.self_attn.linear_pos.weight", "a.blk.#.linear_pos.weight"},
    {"conformer.layers.#.self_attn.pos_bias_u", "a.blk.#.pos_bias_u"},
    {"conformer.layers.#.self_attn.pos_bias_v", "a.blk.#.pos_bias_v"},
    {"conformer.layers.#.norm_conv.*", "a.blk.#.norm_conv.*"},
    {"conformer.layers.#.conv.pointwise_conv1.*", "a.blk.#.conv_pw1.*"},
    {"conformer.layers.#.conv.depthwise_conv.*", "a.blk.#.conv_dw.*"},
    {"conformer.layers.#.conv.pointwise_conv2.*", "a.blk.#.conv_pw2.*"},
    /* Folded into conv_norm by source_hf.c, then of no further use. */
    {"conformer.layers.#.conv.batch_norm.*", "raw.blk.#.batch_norm.*"},
    {"conformer.layers.#.norm_feed_forward2.*", "a.blk.#.ffn_norm_1.*"},
    {"conformer.layers.#.feed_forward2.linear1.*", "a.blk.#.ffn_up_1.*"},
    {"conformer.layers.#.feed_forward2.linear2.*", "a.blk.#.ffn_down_1.*"},
    {"conformer.layers.#.norm_out.*", "a.blk.#.ln2.*"},
    {"audio_adapter.model.*", "mm.a.mlp.*"},
    {"audio_embedding.embedding.weight", "audio_embedding.embedding.weight"},
    {"audio_loss_weights", "raw.audio_loss_weights"}, /* for training, which reads no GGUF file */
    {"depth_linear.*", "depth_linear.*"},
    {"depth_embeddings.*", "depth_embeddings.*"},
    {"depthformer.layers.#.operator.bounded_attention.*",
     "depthformer.layers.#.operator.attention.*"},
    {"depthformer.layers.*", "depthformer.layers.*"},
};

/* Below "vision_tower." and the level "vision_model." that not every program writes. The pooling
 * head is of no use (family.md 2.6). The patch kernel gets another order in source_hf.c. */
static const name_rule tower_rules[] = {
    {"embeddings.patch_embedding.weight", "raw.v.patch_embd.weight"},
    {"embeddings.patch_embedding.bias", "v.patch_embd.bias"},
    {"embeddings.position_embedding.weight", "v.position_embd.weight"},
    {"encoder.layers.#.layer_norm1.*", "v.blk.#.ln1.*"},
    {"encoder.layers.#.layer_norm2.*", "v.blk.#.ln2.*"},
    {"encoder.layers.#.self_attn.q_proj.*", "v.blk.#.attn_q.*"},
    {"encoder.layers.#.self_attn.k_proj.*", "v.blk.#.attn_k.*"},
    {"encoder.layers.#.self_attn.v_proj.*", "v.blk.#.attn_v.*"},
    {"encoder.layers.#.self_attn.out_proj.*", "v.blk.#.attn_out.*"},
    {"encoder.layers.#.mlp.fc1.*", "v.blk.#.ffn_up.*"},
    {"encoder.layers.#.mlp.fc2.*", "v.blk.#.ffn_down.*"},
    {"post_layernorm.*", "v.post_ln.*"},
};

static const name_rule projector_rules[] = {
    {"layer_norm.*", "mm.input_norm.*"},
    {"linear_1.*", "mm.1.*"},
    {"linear_2.*", "mm.2.*"},
};

static const name_rule detokenizer_rules[] = {
    {"emb.emb.weight", "emb.emb.weight"},
    {"istft.window", "istft.window"},
    {"lin.weight", "detok.dense_2.weight"},
    {"lin.bias", "detok.dense_2.bias"},
};

/* Older exports and files saved again from the package (audio.md 9.5). */
static const name_rule mimi_endings[] = {
    {"._codebook.embed_sum", "._codebook.embedding_sum"},
    {"._codebook.cluster_size", "._codebook.cluster_usage"},
    {"._codebook.inited", "._codebook._initialized"},
    {".self_attn.in_projs.0.weight", ".self_attn.in_proj_weight"},
    {".self_attn.out_projs.0.weight", ".self_attn.out_proj.weight"},
};

/* Length of the pattern's wildcards is bounded by the name itself, so out_cap > strlen(name) + 32
 * always suffices; anything longer is refused. */
static bool apply(const name_rule *rule, const char *name, const char *prefix, char *out,
                  size_t cap) {
    const char *number = NULL, *rest = NULL;
    size_t digits = 0;
    const char *p = rule->from, *q = name;
    for (; *p != '\0'; p++) {
        if (*p == '#') {
            number = q;
            while (isdigit((unsigned char)*q)) q++;
            digits = (size_t)(q - number);
            if (digits == 0 || digits > 5) return false;
        } else if (*p == '*') {
            rest = q;
            q += strlen(q);
        } else if (*p != *q++) {
            return false;
        }
    }
    if (*q != '\0') return false;
    size_t used = (size_t)snprintf(out, cap, "%s", prefix);
    for (const char *t = rule->to; *t != '\0' && used < cap; t++) {
        if (*t == '#')
            used += (size_t)snprintf(out + used, cap - used, "%.*s", (int)digits, number);
        else if (*t == '*')
            used += (size_t)snprintf(out + used, cap - used, "%s", rest);
        else
            used += (size_t)snprintf(out + used, cap - used, "%c", *t);
    }
    return used < cap;
}

static bool apply_any(const name_rule *rules, size_t count, const char *name, const char *prefix,
                      char *out, size_t cap) {
    for (size_t i = 0; i < count; i++)
        if (apply(&rules[i], name, prefix, out, cap)) return true;
    return false;
}

#define APPLY_ANY(rules, name, prefix, out, cap)                                                   \
    apply_any(rules, sizeof(rules) / sizeof *(rules), name, prefix, out, cap)

static bool mimi_name(const char *name, char *out, size_t cap) {
    for (size_t i = 0; i < sizeof mimi_endings / sizeof *mimi_endings; i++) {
        const char *from = mimi_endings[i].from;
        const size_t length = strlen(name), ending = strlen(from);
        if (length < ending || strcmp(name + length - ending, from) != 0) continue;
        return (size_t)snprintf(out, cap, "mimi.%.*s%s", (int)(length - ending), name,
                                mimi_endings[i].to) < cap;
    }
    return (size_t)snprintf(out, cap, "mimi.%s", name) < cap;
}

static const char *after(const char *name, const char *prefix) {
    const size_t length = strlen(prefix);
    return strncmp(name, prefix, length) == 0 ? name + length : NULL;
}

/* A vision model's tensors (family.md 2.8): its tower, its projector, and where its text model
 * begins. False: none of them. */
static bool vision_name(const char *name, char *out, size_t cap) {
    const char *rest = after(name, "model.");
    if (rest == NULL) rest = name;
    const char *part = after(rest, "vision_tower.");
    if (part != NULL) {
        const char *inner = after(part, "vision_model.");
        return APPLY_ANY(tower_rules, inner != NULL ? inner : part, "", out, cap);
    }
    part = after(rest, "multi_modal_projector.");
    if (part != NULL) return APPLY_ANY(projector_rules, part, "", out, cap);
    part = after(rest, "language_model.");
    if (part == NULL) return false;
    const char *inner = after(part, "model.");
    if (inner == NULL && strcmp(part, "lm_head.weight") == 0)
        return APPLY_ANY(main_rules, part, "", out, cap);
    return APPLY_ANY(stack_rules, inner != NULL ? inner : part, "", out, cap);
}

bool source_hf_name(hf_part part, const char *name, char *out, size_t out_cap) {
    if (part == HF_MIMI) return mimi_name(name, out, out_cap);
    if (part == HF_MAIN && vision_name(name, out, out_cap)) return true;
    const char *prefix = part == HF_DETOKENIZER ? "detok." : "";
    const char *stack = after(name, "lfm.");
    if (stack == NULL && part == HF_MAIN) stack = after(name, "model.");
    if (stack != NULL) {
        /* The detokenizer is fed by code frames: its text table is of no use (audio.md 8.2). */
        if (part == HF_DETOKENIZER && strcmp(stack, "embed_tokens.weight") == 0) return false;
        return APPLY_ANY(stack_rules, stack, prefix, out, out_cap);
    }
    return part == HF_DETOKENIZER ? APPLY_ANY(detokenizer_rules, name, "", out, out_cap)
                                  : APPLY_ANY(main_rules, name, "", out, out_cap);
}

/* Of two rules that lead to one name the first is meant. */
static bool turn_back(const name_rule *rules, size_t count, const char *name, const char *prefix,
                      char *out, size_t cap) {
    for (size_t i = 0; i < count; i++) {
        const name_rule back = {rules[i].to, rules[i].from};
        if (apply(&back, name, prefix, out, cap)) return true;
    }
    return false;
}

bool source_hf_name_of(const char *canonical, const char *stack, char *out, size_t out_cap) {
    return turn_back(stack_rules, sizeof stack_rules / sizeof *stack_rules, canonical, stack, out,
                     out_cap) ||
           turn_back(main_rules, sizeof main_rules / sizeof *main_rules, canonical, "", out,
                     out_cap);
}
